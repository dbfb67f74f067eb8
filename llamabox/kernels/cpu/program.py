"""Runs a program: jobs in phases. The jobs of a phase run side by side on all threads, one phase after another.

A job is a C function `kernel(args, task, thread)` called for each of its tasks; threads take tasks as they become free.
How a program is written down: layout.py. One function runs every program, so kernels are plain C functions, quick to
compile, and a call from Python costs the same for one job as for several.

Threads are ours (threads.py), not numba's: the caller never waits for a thread that has not begun, so a busy machine
slows a program down by no more than the tasks that were interrupted, and any Python thread may run programs.
"""

from llamabox.kernels.cpu.atomics import NAP, atomic_load, atomic_store, call, fetch_add, nap, pause, yield_core
from llamabox.kernels.cpu.layout import ARGS, DONE, JOB, PHASE, STOP, TICKET
from llamabox.kernels.cpu.simd import inline, load_i64, store

# A ticket: which phase, how many tasks it has, and the next of them. Taking one is a single atomic add, so a thread
# that comes late can never mistake a task of one phase for one of another.
TASKS_SHIFT, EPOCH_SHIFT, MASK = 20, 40, (1 << 20) - 1
SPINS_A_YIELD = 4096


@inline
def argument(args, i):
    """The i-th argument of a job."""
    return load_i64(args + 8 * i)


@inline
def _run_task(job, task, thread):
    while task >= load_i64(job + 8):
        task -= load_i64(job + 8)
        job += 8 * JOB
    call(load_i64(job), job + 8 * ARGS, task, thread)


@inline
def _run_shared(state, job, tasks):
    """Publish a phase, work on it until no task is left, wait for those that others took."""
    store(state + PHASE, job)
    atomic_store(state + DONE, 0)
    epoch = ((atomic_load(state + TICKET) >> EPOCH_SHIFT) + 1) & MASK
    atomic_store(state + TICKET, (epoch << EPOCH_SHIFT) | (tasks << TASKS_SHIFT))
    mine = 0
    task = fetch_add(state + TICKET, 1) & MASK
    while task < tasks:
        _run_task(job, task, 0)
        mine += 1
        task = fetch_add(state + TICKET, 1) & MASK
    done, spins = fetch_add(state + DONE, mine) + mine, 0
    while done < tasks:
        pause()
        spins += 1
        if spins % SPINS_A_YIELD == 0:
            yield_core()
        done = atomic_load(state + DONE)


def run(state, job, end, threads):
    """Run the jobs from one address to another, with whatever threads are in `help`."""
    while job < end:
        first, tasks = job, load_i64(job + 8)
        while load_i64(job + 16) == 0:
            job += 8 * JOB
            tasks += load_i64(job + 8)
        job += 8 * JOB
        if tasks == 1 or threads == 1:
            for task in range(tasks):
                _run_task(first, task, 0)
        else:
            _run_shared(state, first, tasks)


def help(state, thread, spins, naps):
    """Take tasks as they are published; return after so many looks without one, then naps, or when told to stop."""
    finished, idle = -1, 0
    while idle < spins + naps and atomic_load(state + STOP) == 0:
        if atomic_load(state + TICKET) >> EPOCH_SHIFT == finished:
            idle += 1
            if idle < spins:
                pause()
            else:
                nap(NAP)
        else:
            ticket = fetch_add(state + TICKET, 1)
            task, tasks = ticket & MASK, (ticket >> TASKS_SHIFT) & MASK
            if task < tasks:
                _run_task(load_i64(state + PHASE), task, thread)
                fetch_add(state + DONE, 1)
                idle = 0
            else:
                finished = ticket >> EPOCH_SHIFT
