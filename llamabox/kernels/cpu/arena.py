"""Arena: the memory of a compiled step. Values that are not needed at the same time share a place."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from llamabox.kernels.cpu.runner import address

ALIGNMENT = 64


@dataclass(eq=False)
class Buffer:
    """Bytes that hold one value from the level that writes it to the last that reads it.

    first, last  those levels; -1: nothing writes it
    offset       in the arena, once placed
    fixed        its address, or the slot for it, if it is not in the arena
    """

    size_bytes: int
    first: int = -1
    last: int = -1
    offset: int = -1
    fixed: int | None = None


@dataclass(frozen=True, eq=False)
class View:
    """An array in a buffer. likeness: an array of its shape, dtype and strides whose values mean nothing"""

    buffer: Buffer
    likeness: np.ndarray
    offset: int = 0

    def derived(self, likeness: np.ndarray) -> "View":
        """What a likeness that shares this one's memory stands for."""
        moved = likeness.__array_interface__["data"][0] - self.likeness.__array_interface__["data"][0]
        return View(self.buffer, likeness, self.offset + moved)

    @property
    def contiguous(self) -> bool:
        return self.likeness.flags.c_contiguous


class Arena:
    """Places buffers, each by its levels, and gives their addresses and arrays."""

    def __init__(self, buffers: Iterable[Buffer]):
        living: list[Buffer] = []
        size = 0
        for buffer in sorted((b for b in buffers if b.fixed is None and b.first >= 0), key=lambda b: b.first):
            living = [b for b in living if b.last >= buffer.first]
            buffer.offset = _gap(living, buffer.size_bytes)
            living.append(buffer)
            living.sort(key=lambda b: b.offset)
            size = max(size, buffer.offset + buffer.size_bytes)
        self.memory = np.zeros(size + ALIGNMENT, np.uint8)
        self._skipped = -address(self.memory) % ALIGNMENT

    def address(self, view: View) -> int:
        """Where a view begins, or the slot for it."""
        if view.buffer.fixed is not None:
            return view.buffer.fixed + view.offset
        return address(self.memory) + self._skipped + view.buffer.offset + view.offset

    def array(self, view: View) -> np.ndarray:
        """A view as an array; of an output, whose memory comes with each run, its likeness."""
        like, offset = view.likeness, self._skipped + view.buffer.offset + view.offset
        if view.buffer.offset < 0:
            return like
        return np.ndarray(like.shape, like.dtype, self.memory.data, offset, like.strides)


def _gap(living: list[Buffer], size: int) -> int:
    """The first place where size bytes lie beside no living buffer; these are in order of their places."""
    place = 0
    for buffer in living:
        if buffer.offset - place >= size:
            break
        place = max(place, -(-(buffer.offset + buffer.size_bytes) // ALIGNMENT) * ALIGNMENT)
    return place
