"""SentencePiece's compiled normalisation rules: which strings become which.

The blob of `tokenizer.ggml.precompiled_charsmap`: u32 size of the trie in bytes; the trie, a double array of u32 units;
then the replacements, each ended by a zero byte. A unit of the trie holds
    bits 0-7 the byte that leads here (with bit 31: the unit is a value), bit 8 whether a rule ends here,
    bit 9 whether the offset counts in 256s, bits 10-30 the offset; the child of unit i by a byte is i ^ offset ^ byte.
The child for byte 0 of a unit where a rule ends is a value: where in the replacements its text starts.
"""

import numpy as np

from llamabox.tokenizer.errors import TokenizerError

NAME = "tokenizer.ggml.precompiled_charsmap"
ROOT = 0


class Charsmap:
    """The rules of one blob. Errors: TokenizerError where it contradicts itself, at once or when the place is met."""

    def __init__(self, blob: bytes):
        if len(blob) < 5:
            raise TokenizerError(f"{NAME}: {len(blob)} bytes, expected at least 5")
        size = int.from_bytes(blob[:4], "little")
        if size % 4 or size == 0 or size + 4 >= len(blob):
            raise TokenizerError(f"{NAME}: a trie of {size} bytes in a blob of {len(blob)}")
        self._units = np.frombuffer(blob, "<u4", size // 4, 4).tolist()
        self._replacements = blob[4 + size :]

    def step(self, unit: int, char: str) -> int | None:
        """The unit that `char` leads to from `unit`, None where no rule goes on so."""
        for byte in char.encode():
            unit ^= self._offset(unit) ^ byte
            if byte == 0 or self._unit(unit) & 0x800000FF != byte:
                return None
        return unit

    def replacement(self, unit: int) -> str | None:
        """What the string that leads to `unit` becomes, None where it has no rule."""
        if not self._unit(unit) >> 8 & 1:
            return None
        start = self._unit(unit ^ self._offset(unit)) & 0x7FFFFFFF
        end = self._replacements.find(b"\0", start)
        if end < 0:
            raise TokenizerError(f"{NAME}: the replacement at {start} of {len(self._replacements)} bytes has no end")
        return self._replacements[start:end].decode("utf-8", "replace")

    def longest(self, text: str, start: int) -> tuple[int, str] | None:
        """Length and replacement of the longest rule that fits at `start`, None where none does."""
        found = None
        unit = ROOT
        for end in range(start, len(text)):
            below = self.step(unit, text[end])
            if below is None:
                break
            unit = below
            replacement = self.replacement(unit)
            if replacement is not None:
                found = end + 1 - start, replacement
        return found

    def _unit(self, index: int) -> int:
        if index >= len(self._units):
            raise TokenizerError(f"{NAME}: unit {index} of a trie of {len(self._units)}")
        return self._units[index]

    def _offset(self, index: int) -> int:
        unit = self._unit(index)
        return (unit >> 10) << ((unit & 1 << 9) >> 6)
