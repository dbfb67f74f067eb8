"""/v1/completions: the answer as it is, after the prompt if that is asked for, with logprobs in the legacy shape."""

from collections.abc import Callable, Sequence
from typing import Any

from llamabox.engine import PromptEvent, TextEvent, TokenProbs
from llamabox.server.echo import Echo
from llamabox.server.formats import FINISH_REASONS, Choice, Events, OpenAIFormat
from llamabox.server.logprobs import Row, ShownProbs, legacy_logprobs, legacy_name, legacy_row

Piece = Callable[[int], bytes]


class TextChoice(Choice):
    """One choice.  n_top: tokens named beside each one, None: no logprobs; piece: the bytes of a token"""

    def __init__(self, index: int, n_top: int | None = None, piece: Piece | None = None, echo: Echo | None = None):
        super().__init__(index)
        self._n_top, self._piece, self._echo = n_top, piece, echo
        self._echo_waits = echo is not None
        self._shown = ShownProbs()
        self._prompt: list[TokenProbs] = []
        self._texts: list[str] = []
        self._rows: list[Row] = []
        self._logprobs: list[float] = []  # of all tokens, shown or not
        self._reason: str | None = None

    @property
    def mean_logprob(self) -> float:
        """Of the answer's tokens: what best_of chooses by."""
        return sum(self._logprobs) / len(self._logprobs) if self._logprobs else 0.0

    def opening(self):
        return [] if self._n_top is not None else self._echoed()

    def computing(self, event: PromptEvent):
        self._prompt += event.probs

    def push(self, event: TextEvent):
        self._logprobs += [probs.logprob for probs in event.probs]
        parts, rows = self._echoed(), self._row_list(self._shown.push(event))
        return parts if event.text == "" and not rows else [*parts, self._said(event.text, rows)]

    def end(self, event):
        parts, rows = self._echoed(), self._row_list(self._shown.finish())
        self._reason = FINISH_REASONS[event.reason]
        return [*parts, self._said("", rows)]

    def nothing(self):
        return self._part("", [])

    def whole(self):
        return self._part("".join(self._texts), self._rows)

    def _echoed(self) -> list[dict[str, Any]]:
        """The prompt, the first time that this is called."""
        if not self._echo_waits or self._echo is None:
            return []
        self._echo_waits = False
        return [self._said(self._echo.text, self._echo_rows(self._echo))]

    def _echo_rows(self, echo: Echo) -> list[Row]:
        if self._n_top is None or self._piece is None:
            return []
        first = Row(legacy_name(self._piece(echo.ids[0])), None, None, 0)
        rest = zip(echo.offsets[1:], self._prompt, strict=True)
        return [first, *(legacy_row(offset, probs, self._n_top, self._piece) for offset, probs in rest)]

    def _row_list(self, told: Sequence[tuple[int, TokenProbs]]) -> list[Row]:
        if self._n_top is None or self._piece is None:
            return []
        before = 0 if self._echo is None else len(self._echo.text)
        return [legacy_row(before + start, probs, self._n_top, self._piece) for start, probs in told]

    def _said(self, text: str, rows: list[Row]) -> dict[str, Any]:
        """A part that is remembered for the whole."""
        self._texts.append(text)
        self._rows += rows
        return self._part(text, rows)

    def _part(self, text: str, rows: list[Row]) -> dict[str, Any]:
        logprobs = None if self._n_top is None else legacy_logprobs(rows, self._n_top)
        return {"index": self.index, "text": text, "logprobs": logprobs, "finish_reason": self._reason}


class CompletionsFormat(OpenAIFormat):
    """/v1/completions"""

    prefix, object, chunk_object = "cmpl", "text_completion", "text_completion"


class BestOf(CompletionsFormat):
    """Of each prompt's choices only the n with the highest mean logprob are told, the best first."""

    def __init__(self, model: str, choices: Sequence[TextChoice], per_prompt: int, n: int):
        super().__init__(model, choices, per_prompt=per_prompt)
        self._texts, self._n = choices, n

    def whole(self, events: Events) -> dict[str, Any]:
        reply = super().whole(events)
        best: list[TextChoice] = []
        for start in range(0, len(self._texts), self._per_prompt):
            group = self._texts[start : start + self._per_prompt]
            best += sorted(group, key=lambda choice: -choice.mean_logprob)[: self._n]
        return reply | {"choices": [choice.whole() | {"index": i} for i, choice in enumerate(best)]}
