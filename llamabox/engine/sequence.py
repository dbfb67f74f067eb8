"""Sequence: one request on its way through the engine: its tokens, how many are computed, and what is made of them."""

import time

from llamabox.engine.generation import Generation
from llamabox.engine.kv_memory import Table
from llamabox.engine.request import FinishEvent, TextEvent, Timings
from llamabox.engine.sampling import Sampler
from llamabox.engine.stopping import TextOutput
from llamabox.models import AdapterSet


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
    ):
        self.generation, self.request = generation, generation.request
        self.tokens = list(self.request.prompt)
        self.n_prompt, self.n_computed, self.n_cached = len(self.tokens), 0, 0
        self.table = Table(share=False)
        self.draft: tuple[int, ...] = ()
        self.n_drafted = self.n_accepted = 0  # guesses that were verified, and that were right
        self.adapters = adapters
        self.sampler, self._output = sampler, output
        self._end_ids, self._n_ctx = end_ids, n_ctx
        self._admitted_s = self._first_token_s = time.monotonic()

    @property
    def n_left(self) -> int:
        """Tokens to compute before the next one can be sampled: 1 while decoding, 0 when there is none to sample."""
        return len(self.tokens) - self.n_computed

    @property
    def n_predicted(self) -> int:
        return len(self.tokens) - self.n_prompt

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

    def accept(self, token: int) -> bool:
        """Take a sampled token and send its text; True when it was the last one."""
        if not self.is_decoding:
            self._first_token_s = time.monotonic()
        self.tokens.append(token)
        text, stop = self._output.push(token)
        self.generation.put(TextEvent(text, (token,)))
        full = len(self.tokens) >= self._n_ctx
        if token in self._end_ids:
            self.finish("eos")
        elif stop is not None:
            self._send_finish("word", stop, truncated=False)
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
