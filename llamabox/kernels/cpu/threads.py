"""Helpers: the threads that take a program's tasks beside the caller."""

import threading
import weakref

import numpy as np

from llamabox.kernels.cpu.kernel import Kernel
from llamabox.kernels.cpu.layout import STATE_BYTES, STOP
from llamabox.kernels.placement import Threads

HELP = Kernel("program", "help", parameters=4)  # (state, thread, spins, naps): what helpers are in
SPINS = 600  # looks for work before a helper naps, for each of Threads.poll: at 50 about half a millisecond
NAPS = 10_000  # naps before it sleeps: about a second. To wake from sleep it needs Python's lock, which can take long.


class Helpers:
    """The threads of a kind beside the caller, which is thread 0. They run tasks while the caller is in `run`, spin and
    nap between programs, then sleep.

    state  address of what they share with the caller (layout.py)
    """

    def __init__(self, kind: Threads):
        self.kind = kind
        self._memory = np.zeros(STATE_BYTES + 64, np.uint8)
        self.state = (self._memory.ctypes.data + 63) & ~63
        self._asleep: list[threading.Lock] = []  # the locks of helpers that wait to be woken
        run = HELP.callable(nogil=True) if kind.number > 1 else None
        self._finalizer = weakref.finalize(self, _stop, self._memory, self.state, self._asleep)
        for thread in range(1, kind.number):
            args = (kind, run, self._memory, self.state, thread, self._asleep)
            threading.Thread(target=_work, args=args, name=f"llamabox-kernels-{thread}", daemon=True).start()

    def wake(self) -> None:
        """Wake the helpers that sleep. Those that are just falling asleep are missed; nothing waits for them."""
        while self._asleep:
            self._asleep.pop().release()


def _work(kind: Threads, run, memory: np.ndarray, state: int, thread: int, asleep: list) -> None:
    kind.settle(thread)
    woken = threading.Lock()
    woken.acquire()
    stop = memory[state - memory.ctypes.data + STOP :]
    while stop[0] == 0:
        run(state, thread, SPINS * kind.poll, NAPS)
        asleep.append(woken)
        if stop[0] == 0:
            woken.acquire()


def _stop(memory: np.ndarray, state: int, asleep: list) -> None:
    """Tell the threads to end, without waiting for them: it runs wherever Python finds that nobody needs the backend,
    maybe where a lock is held that a thread takes as it ends, maybe in one of the threads."""
    memory[state - memory.ctypes.data + STOP] = 1
    while asleep:  # who falls asleep from here on looks at STOP first
        asleep.pop().release()
