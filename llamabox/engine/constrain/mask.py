"""GrammarMask: where one answer stands in its grammar, and which tokens may come next."""

from collections.abc import Iterable

import llguidance
import numpy as np

from llamabox.engine.constrain.vocabulary import Vocabulary
from llamabox.engine.request import GenerationError


class GrammarMask:
    """Follows the tokens of an answer from the beginning of a sentence on.

    allowed  ids that may come next, rising; end tokens are among them exactly where the sentence may end
    is_over  the sentence is complete and nothing can be added to it
    """

    def __init__(self, matcher: llguidance.LLMatcher, vocabulary: Vocabulary):
        self._matcher, self._vocabulary = matcher, vocabulary
        self._bits = np.zeros((vocabulary.tokenizer.vocab_size + 31) // 32, np.int32)
        self._look_ahead()

    def accept(self, token: int) -> None:
        """The answer goes on with this token, one of those allowed.  Errors:  GenerationError"""
        if token in self._vocabulary.end_ids:
            self.is_over = True
            return
        if not self._matcher.consume_token(token):
            raise self._error()
        self._look_ahead()

    def try_accept(self, parts: Iterable[tuple[int | None, bytes]]) -> bool:
        """The sentence begins with these tokens (None: with bytes of one), if it can; a token counts as its bytes
        where the grammar does not know it as itself. False: it cannot, and this mask is of no further use."""
        for token, text in parts:
            if token is not None and self._matcher.try_consume_tokens([token]) == 1:
                continue
            ids = self._vocabulary.byte_ids(text)
            if self._matcher.try_consume_tokens(ids) < len(ids):
                return False
        self._look_ahead()
        return True

    def _look_ahead(self) -> None:
        """Find what may come next."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        if self._matcher.is_error():
            raise self._error()
        flags = np.unpackbits(self._bits.view(np.uint8), bitorder="little", count=self._vocabulary.n_tokens)
        may_end = self._matcher.is_accepting()
        flags[self._vocabulary.end_array] = False
        self.is_over = may_end and not flags.any()
        flags[self._vocabulary.end_array] = may_end
        self.allowed = np.flatnonzero(flags)

    def _error(self) -> GenerationError:
        return GenerationError(f"the grammar cannot be followed any further: {self._matcher.get_error()[:400]}")
