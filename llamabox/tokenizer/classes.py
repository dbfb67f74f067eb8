"""Code points folded into a few classes, so that splitting patterns run over one small alphabet.

llama.cpp does not match `\\p{L}` against Unicode text: it replaces every code point beyond ASCII by one byte that
stands for its class, and runs plain patterns over that. We do the same, since ids depend on it: ASCII stays, white
space becomes U+000B, the rest one of the characters below. Python's `re` with re.ASCII then has C++'s `\\s` and `\\d`.
"""

from functools import cache

import numpy as np

from llamabox.tokenizer.unicode_table import RANGES

SPACE = "\x0b"
OTHER, NUMBER, LETTER, PUNCTUATION, MARK, SYMBOL, HAN, HAN_OTHER = "\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7"
FOLDED = {"N": NUMBER, "L": LETTER, "P": PUNCTUATION, "M": MARK, "S": SYMBOL, "Z": OTHER, "C": OTHER}

# What each \p{..} means in a folded text, written for the inside of [...].
MEMBERS = {
    r"\p{L}": "A-Za-z" + LETTER + HAN,
    r"\p{N}": "0-9" + NUMBER,
    r"\p{P}": r"!-#%-*,-/:;?@\[-\]_{}" + PUNCTUATION,
    r"\p{S}": r"$+<->^`|~" + SYMBOL,
    r"\p{M}": MARK,
    r"\p{Han}": HAN + HAN_OTHER,
}

WHITESPACE = [
    *range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
]  # fmt: skip
HAN_RANGES = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2EBEF), (0x2F800, 0x2FA1F),
)  # fmt: skip


@cache
def category_table() -> np.ndarray:
    """The major category of each code point: (0x110000,) uint8 of ord("L"), ord("M"), ...; ord("U") if unassigned."""
    table = np.full(0x110000, ord("U"), np.uint8)
    for category, ranges in RANGES.items():
        for item in ranges.split():
            first, _, last = item.partition("-")
            table[int(first, 16) : int(last or first, 16) + 1] = ord(category)
    return table


@cache
def folding_table() -> np.ndarray:
    """The folded character of each code point: (0x110000,) uint8."""
    categories = category_table()
    table = np.full(0x110000, ord(OTHER), np.uint8)
    for category, folded in FOLDED.items():
        table[categories == ord(category)] = ord(folded)
    for first, last in HAN_RANGES:
        run = table[first : last + 1]
        run[...] = np.where(run == ord(LETTER), ord(HAN), ord(HAN_OTHER))
    table[WHITESPACE] = ord(SPACE)
    table[:128] = np.arange(128)
    return table


def fold(text: str) -> str:
    """One class character for each character of `text`; ASCII text is returned as it is."""
    if text.isascii():
        return text
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    return folding_table()[points].tobytes().decode("latin-1")


def category(char: str) -> str:
    """The major category of one character, "U" where unassigned."""
    return chr(category_table()[ord(char)])
