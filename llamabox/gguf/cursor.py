"""A position in the bytes of a file: reads fixed-size numbers and strings, and never past the end."""

import struct

from llamabox.gguf.errors import GGUFError


class Cursor:
    """Reads forward through `data` (a bytes-like object whose slices are bytes) in the byte order "little" or "big"."""

    def __init__(self, data, path, order: str = "little", position: int = 0):
        self.data = data
        self.path = path
        self.position = position
        self.end = len(data)
        mark = "<" if order == "little" else ">"
        self._u32 = struct.Struct(mark + "I")
        self._u64 = struct.Struct(mark + "Q")

    @property
    def remaining(self) -> int:
        """Bytes between the position and the end."""
        return self.end - self.position

    def need(self, n_bytes: int, what: str) -> None:
        """Raise GGUFError unless `n_bytes` more bytes are there for `what`."""
        if n_bytes > self.remaining:
            found = f"{n_bytes} bytes at offset {self.position}, the file has {self.remaining} left"
            raise GGUFError(f"{self.path}: {what} needs {found}")

    def bytes(self, n_bytes: int, what: str) -> bytes:
        """The next `n_bytes` bytes."""
        self.need(n_bytes, what)
        start = self.position
        self.position = start + n_bytes
        return self.data[start : self.position]

    def u32(self, what: str) -> int:
        """The next unsigned 32-bit number."""
        return self._u32.unpack(self.bytes(4, what))[0]

    def u64(self, what: str) -> int:
        """The next unsigned 64-bit number."""
        return self._u64.unpack(self.bytes(8, what))[0]

    def string(self, what: str) -> str:
        """The next string: a 64-bit length and that many bytes; invalid UTF-8 is kept as surrogate escapes."""
        length = self.u64(what)
        return self.bytes(length, what).decode("utf-8", "surrogateescape")

    def strings(self, count: int, what: str) -> list[str]:
        """The next `count` strings. One plain loop, because a vocabulary holds hundreds of thousands of them."""
        self.need(8 * count, what)
        data, unpack_from, position, end = self.data, self._u64.unpack_from, self.position, self.end
        found = []
        for _ in range(count):
            start = position + 8
            if start > end:
                break
            position = start + unpack_from(data, position)[0]
            if position > end:
                break
            found.append(data[start:position].decode("utf-8", "surrogateescape"))
        if len(found) < count:
            raise GGUFError(f"{self.path}: string {len(found)} of {count} of {what} reaches past the end of the file")
        self.position = position
        return found
