"""Probabilities of tokens in the shapes that clients read, each beside the text that it belongs to."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import exp
from typing import Any

from llamabox.engine import TextEvent, TokenProbs


class ShownProbs:
    """Tells which tokens belong to the text shown so far: text that is held back holds back its tokens, and those of a
    stop text, or that left no text at the end, never come. Pairs of (offset of the token's text, TokenProbs)."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, TokenProbs]] = deque()
        self._n_chars = self._n_shown = 0

    def push(self, event: TextEvent) -> list[tuple[int, TokenProbs]]:
        """More text -> the tokens whose text is out by now."""
        for probs in event.probs:
            self._waiting.append((self._n_chars, probs))
            self._n_chars += probs.n_chars
        self._n_shown += len(event.text)
        told = []
        while self._waiting and self._is_out(*self._waiting[0]):
            told.append(self._waiting.popleft())
        return told

    def finish(self) -> list[tuple[int, TokenProbs]]:
        """The tokens of which at least a part was shown, once no more text comes."""
        return [(start, probs) for start, probs in self._waiting if start < self._n_shown]

    def _is_out(self, start: int, probs: TokenProbs) -> bool:
        return start < self._n_shown and start + probs.n_chars <= self._n_shown


def entries(told: Iterable[TokenProbs], sampled: bool = False) -> list[dict[str, Any]]:
    """llama-server's form, which is OpenAI's with ids.  sampled: probabilities after the samplers, under other names"""
    value, top = ("prob", "top_probs") if sampled else ("logprob", "top_logprobs")
    number: Callable[[float], float] = exp if sampled else float

    def entry(id: int, piece: bytes, logprob: float) -> dict[str, Any]:
        return {"id": id, "token": piece.decode(errors="ignore"), "bytes": list(piece), value: number(logprob)}

    return [entry(p.id, p.piece, p.logprob) | {top: [entry(*other) for other in p.top]} for p in told]


def chat_logprobs(told: Iterable[TokenProbs], sampled: bool = False) -> dict[str, Any]:
    """`choices[].logprobs` of /v1/chat/completions."""
    return {"content": entries(told, sampled), "refusal": None}


@dataclass(frozen=True)
class Row:
    """One token of the legacy shape.  logprob: None for the first token; top: None when no others were asked for"""

    token: str
    logprob: float | None
    top: dict[str, float] | None
    offset: int


def legacy_row(offset: int, probs: TokenProbs, n_top: int, piece: Callable[[int], bytes]) -> Row:
    """A token's row; the token itself is among the top ones.  piece: the bytes of a token, control tokens too"""
    token = legacy_name(piece(probs.id))
    if n_top == 0:
        return Row(token, probs.logprob, None, offset)
    top: dict[str, float] = {}
    for id, _, logprob in probs.top:
        top.setdefault(legacy_name(piece(id)), logprob)
    top.setdefault(token, probs.logprob)
    return Row(token, probs.logprob, top, offset)


def legacy_name(piece: bytes) -> str:
    """A token's text; the bytes of a part of a character are spelled out."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def legacy_logprobs(rows: list[Row], n_top: int) -> dict[str, Any]:
    """`choices[].logprobs` of /v1/completions."""
    return {
        "tokens": [row.token for row in rows],
        "token_logprobs": [row.logprob for row in rows],
        "top_logprobs": [row.top for row in rows] if n_top > 0 else None,
        "text_offset": [row.offset for row in rows],
    }
