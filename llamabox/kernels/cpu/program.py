"""Runs a program: jobs in phases. The jobs of a phase run side by side on all threads, a phase after the one before it.

A job is a C function `kernel(args, task, thread)` called for task 0 .. tasks - 1; threads take tasks as they become free.
A program is an array of JOB int64 a job:  0: address of the kernel;  1: tasks;  2: 1 when it ends its phase;  3-: args.
One numba function runs every program, so kernels are plain C functions, quick to compile, and a call from Python costs
the same for one job as for several.
"""

import logging
import time
from collections.abc import Callable
from functools import cached_property

import numba
from numba import njit, prange

from llamabox.kernels.cpu.cache import compiling
from llamabox.kernels.cpu.simd import call, fetch_add, inline, load_i64, store

JOB = 32  # int64s a job
ARGS = 3  # where a job's arguments begin
HEADER = 16  # int64s before the first job: the counter of taken tasks, on a cache line of its own

log = logging.getLogger(__name__)


class Kernel:
    """A function (args, task, thread) that becomes machine code, or comes from the cache, when its address is asked for."""

    def __init__(self, function: Callable, name: str):
        self._function, self.name = function, name

    @cached_property
    def _compiled(self):
        start = time.perf_counter()
        with compiling():
            compiled = numba.cfunc("void(int64, int64, int64)", cache=True, error_model="numpy")(self._function)
        log.debug("kernel %s: %.2f s", self.name, time.perf_counter() - start)
        return compiled

    @cached_property
    def address(self) -> int:
        """Where the machine code begins."""
        return self._compiled.address


def kernel(function: Callable) -> Kernel:
    """Decorator for a kernel that is the same for all types."""
    return Kernel(function, function.__name__)


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


def _run(program, n_jobs, threads):
    """Run the program at an address."""
    counter = program
    first = program + 8 * HEADER
    end = first + 8 * JOB * n_jobs
    while first < end:
        job, tasks = first, 0
        more = True
        while more:
            tasks += load_i64(job + 8)
            more = load_i64(job + 16) == 0
            job += 8 * JOB
        if tasks == 1 or threads == 1:
            for task in range(tasks):
                _run_task(first, task, 0)
        else:
            store(counter, 0)
            for thread in prange(threads):
                task = fetch_add(counter, 1)
                while task < tasks:
                    _run_task(first, task, thread)
                    task = fetch_add(counter, 1)
        first = job


def compile_run() -> Callable:
    """The numba function run(program, n_jobs, threads)."""
    with compiling():
        run = njit("void(int64, int64, int64)", parallel=True, nogil=True, cache=True, error_model="numpy")(_run)
    return run
