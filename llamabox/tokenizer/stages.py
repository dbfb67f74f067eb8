"""Splitting text into words: a pre-tokenizer is a short sequence of stages, each cutting the pieces of the one before.

Offsets count characters. A stage sees each piece on its own: a look-ahead at its end sees the end of text. It has
`folded`, which says what it looks at: the folded text (see `classes`), or the text itself with every white space beyond
ASCII as U+000B. Its `cut(view, start, end)` yields rising offsets at which the piece falls apart.
"""

import re
from functools import cached_property

from llamabox.tokenizer.classes import MEMBERS, SPACE, fold

WIDE_SPACE = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
SPACES = " \t\n\v\f\r"  # what \s means in every pattern


class Pattern:
    """A stage whose words are the matches of a pattern, and what lies between them.

    complete: the pattern leaves no character between its matches. It is compiled on first use.
    """

    def __init__(self, pattern: str, folded: bool, complete: bool = False):
        self.source, self.folded, self.complete = pattern, folded, complete

    @cached_property
    def compiled(self) -> re.Pattern:
        return re.compile(self.source, re.ASCII)

    def cut(self, view, start, end):
        for match in self.compiled.finditer(view, start, end):
            yield from match.span()


def classes(pattern: str, complete: bool = False) -> Pattern:
    """A pattern over the folded text; \\p{..} is allowed inside [...] only."""
    for name, members in MEMBERS.items():
        pattern = pattern.replace(name, members)
    return Pattern(pattern, folded=True, complete=complete)


def points(pattern: str) -> Pattern:
    """A pattern over the code points themselves."""
    return Pattern(pattern, folded=False)


class TrailingSpace:
    """What `\\s+$` would match, without its quadratic search."""

    folded = False

    def cut(self, view, start, end):
        yield start + len(view[start:end].rstrip(SPACES))


class DigitTriples:
    """Numbers in groups of three counted from their end; text before a number stays with its first group.

    The pieces of "ab1234" are "ab1" and "234". (Later stages take "ab" off again where it is a word.)
    """

    folded = True
    run = re.compile("[" + MEMBERS["\\p{N}"] + "]+")

    def cut(self, view, start, end):
        for match in self.run.finditer(view, start, end):
            first, last = match.span()
            yield from range(first + ((last - first) % 3 or 3), last + 1, 3)


class Thousands:
    """What `(?=(\\d{3})+(?!\\d))` would cut: before each group of three ASCII digits counted from the end of a run."""

    folded = False
    run = re.compile("[0-9]{3,}")

    def cut(self, view, start, end):
        for match in self.run.finditer(view, start, end):
            first, last = match.span()
            yield from range(first + (last - first) % 3, last, 3)


Stage = Pattern | TrailingSpace | DigitTriples | Thousands


def split(text: str, stages: tuple[Stage, ...]) -> list[str]:
    """The words of `text`; joined they are `text` again. Linear in the length of the text."""
    first = stages[0]
    if len(stages) == 1 and isinstance(first, Pattern) and first.complete:
        return _split_complete(text, first.compiled)
    folded = plain = None
    ends = [len(text)]
    for stage in stages:
        if stage.folded:
            view = folded = fold(text) if folded is None else folded
        else:
            view = plain = WIDE_SPACE.sub(SPACE, text) if plain is None else plain
        ends = _cut_pieces(stage, view, ends)
    return _slices(text, ends)


def _split_complete(text: str, pattern: re.Pattern) -> list[str]:
    words = pattern.findall(fold(text))
    if text.isascii():
        return words
    ends, end = [], 0
    for word in words:
        end += len(word)
        ends.append(end)
    return _slices(text, ends)


def _cut_pieces(stage: Stage, view: str, ends: list[int]) -> list[int]:
    result = []
    start = 0
    for end in ends:
        last = start
        for offset in stage.cut(view, start, end):
            if offset > last:
                result.append(offset)
                last = offset
        if end > last:
            result.append(end)
        start = end
    return result


def _slices(text: str, ends: list[int]) -> list[str]:
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
