"""Sequence: one request on its way through the engine: its tokens, how many are computed, and what is made of them."""

import time
from dataclasses import replace

import numpy as np

from llamabox.engine.generation import Generation
from llamabox.engine.kv_memory import Table
from llamabox.engine.limits import LineLimits
from llamabox.engine.probabilities import Probabilities
from llamabox.engine.request import FinishEvent, PromptEvent, TextEvent, Timings, TokenProbs
from llamabox.engine.sampling import Sampler
from llamabox.engine.stopping import TextOutput
from llamabox.models import AdapterSet

PROMPT_ROWS = 64  # of a prompt whose probabilities are asked for: rows of logits that one step may hold


class Sequence:
    """One request's state. Only the thread that steps the engine touches it, once it is submitted.

    tokens      prompt and answer
    n_computed  how many of the tokens have their keys and values in the KV blocks
    n_cached    how many of those were there before
    table       its KV blocks; empty until it is admitted
    draft       guesses of its next tokens, to be verified in the next step
    adapters    what it runs with; only sequences with the same share KV blocks
    """

    def __init__(
        self,
        generation: Generation,
        sampler: Sampler,
        output: TextOutput,
        end_ids: frozenset[int],
        n_ctx: int,
        adapters: AdapterSet = (),
        probabilities: Probabilities | None = None,
    ):
        self.generation, self.request = generation, generation.request
        self.tokens = list(self.request.prompt)
        self.n_prompt, self.n_computed, self.n_cached = len(self.tokens), 0, 0
        self.table = Table(share=False)
        self.draft: tuple[int, ...] = ()
        self.n_drafted = self.n_accepted = 0  # guesses that were verified, and that were right
        self.adapters = adapters
        self.sampler, self._output, self._probabilities = sampler, output, probabilities
        self._limits = LineLimits(self.request.n_indent, self.request.t_max_predict_ms)
        self._end_ids, self._n_ctx = end_ids, n_ctx
        self._admitted_s = self._first_token_s = time.monotonic()

    @property
    def n_left(self) -> int:
        """Tokens to compute before the next one can be sampled: 1 while decoding, 0 when there is none to sample."""
        return len(self.tokens) - self.n_computed

    @property
    def n_next(self) -> int:
        """How many of these one step may compute."""
        return min(self.n_left, PROMPT_ROWS) if self.wants_prompt_rows else self.n_left

    @property
    def wants_prompt_rows(self) -> bool:
        """Logits of each token are wanted, not only of the last."""
        return self.request.prompt_logprobs and not self.is_decoding

    @property
    def n_predicted(self) -> int:
        return len(self.tokens) - self.n_prompt

    @property
    def n_room(self) -> int:
        """Tokens that may still be added to the answer."""
        room = self._n_ctx - len(self.tokens)
        return room if self.request.n_predict < 0 else min(room, self.request.n_predict - self.n_predicted)

    @property
    def is_decoding(self) -> bool:
        return self.n_predicted > 0

    @property
    def state(self) -> str:
        """ "prefill" or "decode"."""
        return "decode" if self.is_decoding else "prefill"

    def admitted(self, table: Table, n_cached: int) -> None:
        """It has its blocks and may run."""
        self.table, self.n_computed, self.n_cached = table, n_cached, n_cached
        self._admitted_s = time.monotonic()
        if self.request.return_progress:
            self._send_progress()

    def prompt_computed(self, start: int, logits: np.ndarray) -> None:
        """Tell of the prompt's tokens, from position start on, if that is wanted.  logits (N, V), of each one"""
        if not self.request.prompt_logprobs:
            if self.request.return_progress:
                self._send_progress()
            return
        told = self.tokens[start + 1 : start + 1 + len(logits)]
        self._send_progress(self._probabilities.of_prompt(told, logits[: len(told)]))

    def probs(self, token: int, logits: np.ndarray) -> TokenProbs | None:
        """Of the token that was just sampled from these logits (V,); None unless that is wanted."""
        return None if self._probabilities is None else self._probabilities.of_answer(token, logits, self.sampler.left)

    def accept(self, token: int, probs: TokenProbs | None = None) -> bool:
        """Take a sampled token and send its text; True when it was the last one."""
        now = time.monotonic()
        if not self.is_decoding:
            self._first_token_s = now
        self.tokens.append(token)
        n_before = self._output.n_chars
        text, stop = self._output.push(token)
        text, limited = self._limits.push(text, 1e3 * (now - self._first_token_s))
        told = () if probs is None else (replace(probs, n_chars=self._output.n_chars - n_before),)
        self.generation.put(TextEvent(text, (token,), told))
        full = len(self.tokens) >= self._n_ctx
        if token in self._end_ids:
            self.finish("eos")
        elif stop is not None:
            self._send_finish("word", stop, truncated=False)
        elif self.sampler.is_over:
            self.finish("eos")
        elif limited:
            self._send_finish("limit", "", truncated=False)
        elif full or self.n_predicted == self.request.n_predict:
            self.finish("limit", truncated=full)
        else:
            return False
        return True

    def finish(self, reason: str, truncated: bool = False) -> None:
        """Send the text that was held back, and the FinishEvent.  reason: see FinishEvent"""
        text, stop = self._output.flush()
        if text != "":
            self.generation.put(TextEvent(text, ()))
        if stop is not None:
            reason, truncated = "word", False
        self._send_finish(reason, "" if stop is None else stop, truncated)

    def _send_progress(self, probs: tuple[TokenProbs, ...] = ()) -> None:
        n_done = min(self.n_computed, self.n_prompt)
        elapsed_ms = 1e3 * (time.monotonic() - self._admitted_s)
        self.generation.put(PromptEvent(self.n_prompt, self.n_cached, n_done, elapsed_ms, probs))

    def _send_finish(self, reason: str, stopping_word: str, truncated: bool) -> None:
        now = time.monotonic()
        first = self._first_token_s if self.is_decoding else now
        timings = Timings(
            n_cached=self.n_cached,
            n_prompt=min(self.n_computed, self.n_prompt) - self.n_cached,
            prompt_ms=1e3 * (first - self._admitted_s),
            n_predicted=self.n_predicted,
            predicted_ms=1e3 * (now - first),
            n_drafted=self.n_drafted,
            n_accepted=self.n_accepted,
        )
        event = FinishEvent(reason, stopping_word, self.n_prompt, self.n_predicted, truncated, timings)
        self.generation.put(event)
