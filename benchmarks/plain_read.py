"""How fast memory can be read: every byte once, nothing computed. What a product of one row is measured against."""

import time

import numpy as np

from llamabox.kernels.cpu import machine_code
from llamabox.kernels.cpu.program import argument
from llamabox.kernels.cpu.runner import Job, Program, Runner, address
from llamabox.kernels.cpu.simd import load_i32x16, splat_i32x16, store, sum_i32

PIECE = 1 << 20  # bytes a task


def read(args, task, thread):
    """args: 0 memory, 1 bytes a task (a multiple of 256), 2 out: a sum of each task's bytes"""
    size = argument(args, 1)
    p = argument(args, 0) + task * size
    a, b, c, d = splat_i32x16(0), splat_i32x16(0), splat_i32x16(0), splat_i32x16(0)
    for k in range(0, size, 256):
        a, b = a ^ load_i32x16(p + k), b ^ load_i32x16(p + k + 64)
        c, d = c ^ load_i32x16(p + k + 128), d ^ load_i32x16(p + k + 192)
    store(argument(args, 2) + 4 * task, sum_i32((a ^ b) ^ (c ^ d)))


class Reader:
    """Reads arrays: of each, whole multiples of 256 bytes in equal pieces."""

    def __init__(self, runner: Runner, arrays: list[np.ndarray]):
        place = machine_code.load("benchmark read", "void(int64, int64, int64)", lambda: read)
        self._sums = np.empty(max(-(-data.nbytes // PIECE) for data in arrays), np.int32)
        jobs, self._bytes, self._arrays = [], 0, arrays
        for data in arrays:
            tasks = -(-data.nbytes // PIECE)
            size = data.nbytes // tasks // 256 * 256
            jobs.append(Job(place, tasks, (address(data), size, address(self._sums))))
            self._bytes += tasks * size
        self._runner, self._program = runner, Program(jobs)

    def speed(self) -> float:
        """GB/s of one pass."""
        start = time.perf_counter()
        self._runner.run(self._program, [])
        return self._bytes / (time.perf_counter() - start) / 1e9
