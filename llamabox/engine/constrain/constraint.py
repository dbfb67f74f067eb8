"""Constraint: what the next token of one answer may be, of a grammar and a thinking budget together."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llamabox.engine.constrain.thinking import ThinkingLimit
from llamabox.engine.constrain.triggers import TriggerSearch

if TYPE_CHECKING:
    from llamabox.engine.constrain.mask import GrammarMask


class Constraint:
    """Belongs to one answer, and is told each of its tokens.

    pieces     the bytes of each token
    new_mask   a mask at the beginning of the grammar's sentence; None: there is no grammar
    search     where the sentence begins; None: with the answer
    thinking   None: no budget. Inside a thinking part no trigger counts; the text of its end does
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        new_mask: "Callable[[], GrammarMask] | None",
        search: TriggerSearch | None,
        thinking: ThinkingLimit | None,
    ):
        self._pieces, self._new_mask, self._thinking = pieces, new_mask, thinking
        self._search = search
        self._mask = new_mask() if new_mask is not None and search is None else None

    @property
    def allowed(self) -> np.ndarray | None:
        """The ids that may come next, rising; None: any."""
        allowed = None if self._mask is None else self._mask.allowed
        if self._thinking is not None and self._thinking.forced:
            forced = np.array(self._thinking.forced[:1], np.int64)
            if allowed is None or np.isin(forced, allowed).all():
                return forced
        return allowed

    @property
    def is_over(self) -> bool:
        """The answer is complete: nothing may come after it."""
        return self._mask is not None and self._mask.is_over

    def accept(self, token: int) -> None:
        """The answer goes on with this token.  Errors:  GenerationError"""
        piece = self._pieces[token] if token < len(self._pieces) else b""
        thinking, was_inside, end = self._thinking, False, None
        if thinking is not None:
            was_inside = thinking.inside
            end = thinking.accept(token, piece)
        if self._mask is not None:
            self._mask.accept(token)
        elif self._search is not None:
            if end is not None:
                self._look_for_beginning(token if end == piece else None, end)
            elif not was_inside and not (thinking is not None and thinking.inside):
                self._look_for_beginning(token, piece)

    def _look_for_beginning(self, token: int | None, piece: bytes) -> None:
        """More text in which the grammar's sentence may begin."""
        assert self._search is not None and self._new_mask is not None
        for parts in self._search.push(token, piece):
            mask = self._new_mask()
            if mask.try_accept(parts):
                self._mask, self._search = mask, None
                return
