"""Runner: writes jobs into a program (program.py) and runs it on this backend's threads."""

import ctypes
import struct
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llamabox.kernels.cpu.kernel import Kernel
from llamabox.kernels.cpu.layout import ARGS, JOB
from llamabox.kernels.cpu.threads import Helpers
from llamabox.kernels.placement import Threads

RUN = Kernel("program", "run", parameters=4)  # (state, first job, end of the jobs, threads)
_PACK = [struct.Struct(f"{ARGS + n}q").pack_into for n in range(JOB - ARGS + 1)]


TASK_VALUES = 8192  # f32 values in one task of a kernel that does little with each


class Job(NamedTuple):
    """tasks calls of the kernel at an address, with these integer arguments."""

    kernel: int
    tasks: int
    args: tuple[int, ...]


def address(array: np.ndarray) -> int:
    """Where a C-contiguous array's bytes begin."""
    try:
        return _addressof(_char_from(array))  # several times faster than what comes next
    except (TypeError, ValueError):  # read-only, or empty
        return array.__array_interface__["data"][0]


def float_bits(value: float) -> int:
    """A float32's bits, to pass it among integers."""
    return struct.unpack("i", struct.pack("f", value))[0]


_addressof, _char_from = ctypes.addressof, ctypes.c_char.from_buffer
_SLOTS, SLOTS = -(1 << 62), 1 << 20


FEW = 16  # slots: up to so many are quicker filled one by one


def slot(i: int) -> int:
    """Stands for the i-th of the values that a Program is run with."""
    return _SLOTS + i


def is_slot(word: int | None) -> bool:
    """Whether it stands for a value that comes with each run."""
    return word is not None and word < _SLOTS + SLOTS


def placed(job: Job, values: Sequence[int]) -> Job:
    """The job with values, or other slots, in its slots."""
    kernel, tasks, args = job

    def value(word: int) -> int:
        return values[word - _SLOTS] if is_slot(word) else word

    return Job(kernel, value(tasks), tuple(map(value, args)))


class Program:
    """Phases of jobs, packed to be run, maybe many times, with values that differ each time (see slot)."""

    def __init__(self, *phases: list[Job]):
        packed = np.zeros(JOB * sum(map(len, phases)), np.int64)
        offset, self.shared = 0, False
        for phase in phases:
            last = len(phase) - 1
            self.shared = self.shared or last > 0 or phase[0].tasks != 1
            for i, (kernel, tasks, args) in enumerate(phase):
                _PACK[len(args)](packed, offset, kernel, tasks, i == last, *args)
                offset += 8 * JOB
        self._packed, self._words = packed, memoryview(packed)
        self.first = address(packed)
        self.end = self.first + offset
        self._at = np.flatnonzero(packed < _SLOTS + SLOTS)
        self._which = packed[self._at] - _SLOTS
        self._few = list(zip(self._at.tolist(), self._which.tolist(), strict=True)) if len(self._at) <= FEW else None

    def fill(self, values: Sequence[int]) -> None:
        """Put these values into the slots."""
        if self._few is None:
            self._packed[self._at] = np.array(values, np.int64)[self._which]
        else:
            for at, i in self._few:
                self._words[at] = values[i]


class Runner:
    """Runs programs, one at a time, so that its scratch is used by one at a time.

    kinds    of threads to choose from; each has helpers of its own, which begin when it is first used
    threads  the most that compute at once: scratch for each thread holds for all kinds
    """

    def __init__(self, *kinds: Threads):
        self.threads = max(kind.number for kind in kinds)
        self._lock, self._growing = threading.Lock(), threading.Lock()
        self._run_short, self._run_long = RUN.callable(nogil=False), RUN.callable(nogil=True)
        self._helpers: dict[Threads, Helpers] = {}
        self._scratch: dict[str, list[np.ndarray]] = {}
        self.use(kinds[0])

    def use(self, kind: Threads) -> None:
        """The threads of the programs that come."""
        with self._lock:
            if kind not in self._helpers:
                self._helpers[kind] = Helpers(kind)
            self._active = self._helpers[kind]

    def run(self, program: Program, values: Sequence[int], long: bool = False) -> None:
        """Run the jobs of each phase side by side, one phase after another, with these values in its slots.

        long  Python's other threads run meanwhile. Not for short programs: taking the interpreter back from a busy
              thread can cost 5 ms each time.
        """
        with self._lock:
            program.fill(values)
            helpers = self._active
            if program.shared:
                helpers.wake()
            run = self._run_long if long else self._run_short
            run(helpers.state, program.first, program.end, helpers.kind.number)

    def run_once(self, *phases: list[Job], long: bool = False) -> None:
        """Run jobs that have all their values."""
        self.run(Program(*phases), [], long)

    def scratch(self, name: str, size_bytes: int) -> int:
        """Address of at least size_bytes of scratch of this name, aligned to 64; its content lasts for one program."""
        with self._growing:
            arrays = self._scratch.setdefault(name, [])
            if not arrays or arrays[-1].nbytes < size_bytes + 64:
                arrays.append(np.empty(size_bytes * 5 // 4 + 64, np.uint8))  # older ones stay: jobs may still name them
            return (address(arrays[-1]) + 63) & ~63
