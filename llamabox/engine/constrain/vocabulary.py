"""A vocabulary as llguidance sees it: the bytes of each token, and which tokens are no text."""

from collections.abc import Callable, Iterable, Sequence

import llguidance
import numpy as np

from llamabox.engine.constrain.nodes import GrammarError, Token

SLICES = llguidance.LLTokenizer.json_slices()


class _Tokens:
    """What LLTokenizer reads. It tokenizes nothing: matchers are given token ids."""

    bos_token_id = None

    def __init__(self, tokens: list[bytes], special_ids: list[int], end_id: int):
        self.tokens, self.special_token_ids, self.eos_token_id = tokens, special_ids, end_id

    def __call__(self, text: bytes) -> list[int]:
        return []


class Vocabulary:
    """Tokens by id, and behind them one token for each byte, so that any text can be given to a matcher.

    pieces       the bytes of each token
    special_ids  tokens that a grammar means only by their name, not by any text: control tokens
    end_ids      tokens that end an answer
    encode       the ids of a text, control tokens recognised
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        special_ids: Iterable[int] = (),
        end_ids: Iterable[int] = (),
        encode: Callable[[str], Sequence[int]] = lambda text: (),
    ):
        self.pieces, self.n_tokens, self._encode = pieces, len(pieces), encode
        self.end_ids = frozenset(end_ids)
        self.end_array = np.array(sorted(self.end_ids), np.int64)
        self._first_byte = self.n_tokens
        end = self.n_tokens + 256  # ends nothing that is ever sampled: the constraint itself treats end tokens
        tokens = [*pieces, *(bytes([byte]) for byte in range(256)), b"<end>"]
        special = sorted({*special_ids, *self.end_ids, end})
        self.special_texts = {pieces[id].decode("utf-8", "replace"): id for id in special[:-1] if pieces[id]}
        wrapper = llguidance.TokenizerWrapper(_Tokens(tokens, special, end))
        self.tokenizer = llguidance.LLTokenizer(wrapper, slices=SLICES)

    def token_id(self, token: Token) -> int:
        """The id of a token that a grammar names.  Errors:  GrammarError"""
        ids = [token.id] if token.id is not None else self._encode(str(token.text))
        if len(ids) != 1 or not 0 <= ids[0] < self.n_tokens:
            name = token.text if token.id is None else f"<[{token.id}]>"
            raise GrammarError(f"found {name!r:.80}, which is no token of this vocabulary")
        return ids[0]

    def byte_ids(self, text: bytes) -> list[int]:
        """The ids that spell a text byte by byte."""
        return [self._first_byte + byte for byte in text]
