"""ThinkingLimit: ends the thinking parts of an answer when their budget is used up."""

from collections.abc import Sequence

from llamabox.engine.constrain.grammar import ThinkingBudget


class ThinkingLimit:
    """Follows the bytes of an answer from one thinking part to the next.

    inside  a thinking part is open
    forced  ids that have to come next, one after the other; () as a rule

    The part's end is forced between characters, never inside one. end_ids: the tokens of the message and the end.
    """

    def __init__(self, budget: ThinkingBudget, end_ids: Sequence[int]):
        self._start, self._end, self._n_tokens = budget.start.encode(), budget.end.encode(), budget.n_tokens
        self._end_ids = tuple(end_ids)
        self.inside = False
        self.forced: tuple[int, ...] = ()
        self._recent = b""  # the bytes that a start or end may have begun in
        if budget.open:
            self._enter()

    def accept(self, token: int, piece: bytes) -> bytes | None:
        """The answer goes on with this token. Once it completes the end of a part: the text from that end on."""
        is_last = self.forced == (token,)
        self.forced = self.forced[1:] if self.forced[:1] == (token,) else ()
        text = self._recent + piece
        if self.inside:
            after = self._go_on(text)
            self.inside = self.inside and not is_last
            self.forced = self.forced if self.inside else ()
            return after
        at = text.find(self._start)
        self._recent = text[max(len(text) - len(self._start) + 1, 0) :]
        if at >= 0:
            self._enter()
            rest = text[at + len(self._start) :]
            return self._look_for_end(rest)
        return None

    def _enter(self) -> None:
        self.inside, self._left, self._recent = True, self._n_tokens, b""
        if self._left <= 0:
            self.forced = self._end_ids

    def _go_on(self, text: bytes) -> bytes | None:
        after = self._look_for_end(text)
        if after is None and not self.forced:
            self._left -= 1
            if self._left <= 0 and not _is_inside_character(text):
                self.forced = self._end_ids
        return after

    def _look_for_end(self, text: bytes) -> bytes | None:
        at = text.find(self._end)
        if at < 0:
            self._recent = text[max(len(text) - max(len(self._end) - 1, 4), 0) :]
            return None
        self.inside, self.forced, self._recent = False, (), b""
        return text[at:]


def _is_inside_character(text: bytes) -> bool:
    """Whether the last UTF-8 character is unfinished."""
    for n, byte in enumerate(reversed(text[-3:]), 1):
        if byte >= 0xC0:
            return n < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)
        if byte < 0x80:
            return False
    return False
