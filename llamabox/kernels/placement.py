"""Threads: how many threads compute, on which CPUs, at what priority; and BLAS, which has threads of its own."""

import logging
import os
import threading
from dataclasses import dataclass
from functools import cached_property

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Threads:
    """How a backend's threads run.

    count   None: one a core that the process may run on
    places  thread i runs on the CPUs of places[i % len(places)]; (): wherever the process may
    nice    their priority as the system counts it, -20 (first) to 19 (last); None: the process's
    poll    0 to 100: how long a thread without work looks for some before it naps
    """

    count: int | None = None
    places: tuple[frozenset[int], ...] = ()
    nice: int | None = None
    poll: int = 50

    def __post_init__(self):
        if self.count is not None and self.count < 1:
            raise ValueError(f"threads: found {self.count}, expected 1 or more")

    @cached_property
    def number(self) -> int:
        """How many threads that is on this machine."""
        if self.count is not None:
            return self.count
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def settle(self, index: int) -> None:
        """Give the calling thread, the index-th of them, its place and priority; a refusal is logged."""
        try:
            if self.places:
                os.sched_setaffinity(0, self.places[index % len(self.places)])
            if self.nice is not None:
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.nice)
        except (OSError, AttributeError) as error:  # systems without these calls have no such attribute
            log.warning("thread %d keeps the CPUs and the priority it had: %s", index, error)


def bound_blas(count: int) -> None:
    """Let NumPy's BLAS use at most so many threads, in the whole process."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=count, user_api="blas")
