"""SentencePiece's compiled normalisation rules: which strings become which.

The blob of `tokenizer.ggml.precompiled_charsmap`: u32 size of the trie in bytes; the trie, a double array of u32 units;
then the replacements, each ended by a zero byte. A unit of the trie holds
    bits 0-7 the byte that leads here (with bit 31: the unit is a value), bit 8 whether a rule ends here,
    bit 9 whether the offset counts in 256s, bits 10-30 the offset; a child of a unit at i is at i ^ offset ^ byte.
Of a rule's end the child for byte 0 is a value: where its replacement starts.
"""

import numpy as np

from llamabox.tokenizer.errors import TokenizerError

NAME = "tokenizer.ggml.precompiled_charsmap"


def read_rules(blob: bytes) -> dict[str, str]:
    """All rules of a charsmap: string -> replacement. Errors: TokenizerError for a blob that contradicts itself."""
    if len(blob) < 5:
        raise TokenizerError(f"{NAME}: {len(blob)} bytes, expected at least 5")
    size = int.from_bytes(blob[:4], "little")
    if size % 4 or size + 4 >= len(blob):
        raise TokenizerError(f"{NAME}: a trie of {size} bytes in a blob of {len(blob)}")
    units = np.frombuffer(blob, "<u4", size // 4, 4)
    replacements = blob[4 + size :]
    rules = {}
    for key, start in _walk(units):
        end = replacements.find(b"\0", start)
        if start >= len(replacements) or end < 0:
            raise TokenizerError(f"{NAME}: the replacement at {start} of {len(replacements)} bytes has no end")
        try:
            rules[key.decode()] = replacements[start:end].decode()
        except UnicodeDecodeError:
            raise TokenizerError(f"{NAME}: the rule for {key!r} is no UTF-8") from None
    return rules


def _walk(units: np.ndarray):
    """Yield (key, value) of every rule in the trie, level by level. Every unit is visited once at most."""
    seen = np.zeros(len(units), bool)
    chars = np.arange(1, 256, dtype=np.uint32)
    level = [(b"", 0)]
    while level:
        places = np.array([place for _, place in level], np.uint32)
        bases = places ^ _offsets(units[places])
        children = bases[:, None] ^ chars
        inside = children < len(units)
        safe = np.where(inside, children, 0)
        is_child = inside & ((units[safe] & np.uint32(0x800000FF)) == chars) & ~seen[safe]
        below = []
        for row, column in zip(*(found.tolist() for found in np.nonzero(is_child)), strict=True):
            place = int(children[row, column])
            if seen[place]:
                continue
            seen[place] = True
            key = level[row][0] + bytes([column + 1])
            if units[place] >> 8 & 1:
                yield key, _value(units, place)
            below.append((key, place))
        level = below


def _offsets(units: np.ndarray) -> np.ndarray:
    return (units >> np.uint32(10)) << ((units & np.uint32(1 << 9)) >> np.uint32(6))


def _value(units: np.ndarray, place: int) -> int:
    at = place ^ int(_offsets(units[place : place + 1])[0])
    if at >= len(units):
        raise TokenizerError(f"{NAME}: value unit {at} of {len(units)}")
    return int(units[at]) & 0x7FFFFFFF
