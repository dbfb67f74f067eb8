"""The tree of a grammar: what GBNF and JSON schemas are read into, and Lark is written from."""

from dataclasses import dataclass

MAX_CHAR = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]


class GrammarError(ValueError):
    """A grammar or schema that cannot be used; the message says what is wrong and where."""


@dataclass(frozen=True, eq=False)
class Chars:
    """One character of these ranges of code points: rising, not touching, without surrogates."""

    ranges: Ranges


@dataclass(frozen=True, eq=False)
class Text:
    """These characters, one or more of them, none a surrogate."""

    text: str


@dataclass(frozen=True, eq=False)
class Token:
    """One token of the vocabulary, or with `negated` any other one.  text: None where the id was given"""

    id: int | None
    text: str | None
    negated: bool


@dataclass(frozen=True, eq=False)
class Ref:
    """Another rule."""

    name: str


@dataclass(frozen=True, eq=False)
class Seq:
    """One after the other; () is the empty text."""

    items: tuple["Node", ...]


@dataclass(frozen=True, eq=False)
class Alt:
    """One of several."""

    items: tuple["Node", ...]


@dataclass(frozen=True, eq=False)
class Repeat:
    """least to most times; most None: any number of times."""

    item: "Node"
    least: int
    most: int | None


@dataclass(frozen=True, eq=False)
class Except:
    """What another node holds, without these texts. Only inside lexemes: the other node has to be regular."""

    item: "Node"
    texts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Lexeme:
    """A node that a lexer reads as one piece; with `optional` nothing will do, too."""

    node: "Node"
    optional: bool


Node = Chars | Text | Token | Ref | Seq | Alt | Repeat | Except | Lexeme
Cut = Node  # one in which every Chars and Except is inside a Lexeme
Rules = dict[str, Node]  # "root" is what the whole text has to be
EMPTY = Seq(())


def ranges(pairs: list[tuple[int, int]], negated: bool = False) -> Ranges:
    """Ranges in normal form. Pairs that are the wrong way round hold no character."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted((low, min(high, MAX_CHAR)) for low, high in pairs if low <= min(high, MAX_CHAR)):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return _without_surrogates(_complement(merged) if negated else merged)


def _complement(merged: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found, start = [], 0
    for low, high in merged:
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    return [*found, (start, MAX_CHAR)] if start <= MAX_CHAR else found


def _without_surrogates(merged: list[tuple[int, int]]) -> Ranges:
    found = []
    for low, high in merged:
        found += [(a, b) for a, b in ((low, min(high, 0xD7FF)), (max(low, 0xE000), high)) if a <= b]
    return tuple(found)


def text_node(text: str) -> Node:
    """A literal text. One with surrogates, which are no characters, matches nothing."""
    if text == "":
        return EMPTY
    return Chars(()) if any("\ud800" <= c <= "\udfff" for c in text) else Text(text)


def character(c: str) -> Chars:
    """One certain character."""
    return Chars(((ord(c), ord(c)),))
