"""Cutting special tokens out of a text before the rest is tokenized."""

from dataclasses import dataclass

from llamabox.tokenizer.vocab import Kind, Vocab

SPACES = " \t\n\v\f\r"
CUT_OUT = Kind.CONTROL | Kind.USER_DEFINED | Kind.UNKNOWN


@dataclass(frozen=True)
class Special:
    """A token found by its text. always: also where special tokens are not parsed (user-defined ones)."""

    text: str
    id: int
    always: bool
    strip_left: bool
    strip_right: bool


def find_cut_out(vocab: Vocab) -> list[int]:
    """The ids of the tokens that are cut out of text, longest text (in bytes) first."""
    ids = vocab.ids_of_kind(CUT_OUT)
    return sorted(ids, key=lambda id: -len(vocab.texts[id].encode("utf-8", "surrogateescape")))


def make_specials(vocab: Vocab, ids: list[int]) -> list[Special]:
    """The cut-out tokens `ids` with their habits, in the same order."""
    return [
        Special(
            vocab.texts[id],
            id,
            always=not vocab.is_kind(id, Kind.CONTROL | Kind.UNKNOWN),
            strip_left=vocab.is_kind(id, Kind.LSTRIP),
            strip_right=vocab.is_kind(id, Kind.RSTRIP),
        )
        for id in ids
    ]


def partition(text: str, specials: list[Special]) -> list[str | int]:
    """The text as pieces (str, never empty) and special tokens (int) in order.

    Specials are cut out one after the other in the order given, each wherever it still occurs: a longer token further
    right wins over a shorter one that overlaps it.
    """
    fragments: list[str | int] = [text] if text else []
    for special in specials:
        if special.text in text:
            fragments = [part for fragment in fragments for part in _cut(fragment, special)]
    return fragments


def _cut(fragment: str | int, special: Special) -> list[str | int]:
    if isinstance(fragment, int) or special.text not in fragment:
        return [fragment]
    first, *others = fragment.split(special.text)
    parts: list[str | int] = [first.rstrip(SPACES) if special.strip_left else first]
    for index, piece in enumerate(others):
        if special.strip_right:
            piece = piece.lstrip(SPACES)
        if special.strip_left and index < len(others) - 1:
            piece = piece.rstrip(SPACES)
        parts += [special.id, piece]
    return [part for part in parts if part != ""]
