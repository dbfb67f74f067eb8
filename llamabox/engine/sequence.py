"""Sequence: one request on its way through the engine: its tokens, how many are computed, and what is made of them."""

import time
from collections.abc import Sequence as Items
from dataclasses import replace

import numpy as np

from llamabox.engine.generation import Generation
from llamabox.engine.kv_memory import Table
from llamabox.engine.limits import LineLimits
from llamabox.engine.probabilities import Probabilities
from llamabox.engine.request import FinishEvent, PromptEvent, TextEvent, Timings, TokenProbs
from llamabox.engine.sampling import Sampler
from llamabox.engine.shifting import Shifting
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
    slot        its number while it runs, see slots.py
    shifting    what a full context does; None: it ends the answer
    moves_cells the model's keys can be moved to other positions
    n_discarded tokens that context shifts have dropped from `tokens`, which has the others in order
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
        shifting: Shifting | None = None,
        moves_cells: bool = False,
    ):
        self.generation, self.request = generation, generation.request
        self.tokens = list(self.request.prompt)
        self.n_prompt, self.n_computed, self.n_cached = len(self.tokens), 0, 0
        self.n_predicted = self.n_discarded = 0
        self.slot, self.has_new_line = -1, False
        self._shifting, self.moves_cells = shifting, moves_cells
        self.table = Table(share=False)
        self.draft: tuple[int, ...] = ()
        self.n_drafted = self.n_accepted = 0  # guesses that were verified, and that were right
        self.adapters = adapters
        self.sampler, self._output, self._probabilities = sampler, output, probabilities
        self._limits = LineLimits(self.request.n_indent, self.request.t_max_predict_ms)
        self._end_ids, self._n_ctx = end_ids, n_ctx
        self._n_told = 0  # of the prompt's tokens
        self._admitted_s = self._first_token_s = 0.0

    @property
    def n_left(self) -> int:
        """Tokens to compute before the next one can be sampled: 1 while decoding, 0 when there is none to sample."""
        return len(self.tokens) - self.n_computed

    @property
    def n_next(self) -> int:
        """How many of these one step may compute; never the last of a full context, which has to shift first."""
        n_left = self.n_left - self.is_full
        return min(n_left, PROMPT_ROWS) if self.wants_prompt_rows else n_left

    @property
    def shares(self) -> bool:
        """It uses, and leaves for others, the KV blocks of equal prefixes."""
        return self.request.cache_prompt

    @property
    def reuses_chunks(self) -> bool:
        """It may take KV cells from elsewhere in its slot's last sequence."""
        return self.moves_cells and self.request.n_cache_reuse > 0

    @property
    def tree(self) -> tuple[AdapterSet, bool]:
        """Which tree of KVMemory it shares: what its keys and values depend on besides the tokens before them.

        Cells that were moved have seen other tokens, so sequences that take such ones keep to themselves.
        """
        return self.adapters, self.reuses_chunks

    @property
    def wants_prompt_rows(self) -> bool:
        """Logits of each token are wanted, not only of the last."""
        return self.request.prompt_logprobs and self.n_predicted == 0

    @property
    def n_largest(self) -> int | None:
        """How many of the largest logits are all that is looked at in a row; None: the whole row is."""
        return None if self._probabilities is not None else self.sampler.n_largest

    @property
    def n_room(self) -> int:
        """Tokens that may still be added to the answer."""
        room = self._n_ctx - len(self.tokens)
        return room if self.request.n_predict < 0 else min(room, self.request.n_predict - self.n_predicted)

    @property
    def is_decoding(self) -> bool:
        """One token a step; not while an answer that has begun is computed anew."""
        return self.n_predicted > 0 and self.n_left <= 1

    @property
    def is_full(self) -> bool:
        """It cannot go on before a context shift."""
        return len(self.tokens) >= self._n_ctx

    @property
    def next_s(self) -> float:
        """When its next token is due, if there is a limit on tokens per second, as time.monotonic()."""
        limit = self.request.tokens_per_second
        return 0.0 if limit is None else self._first_token_s + self.n_predicted / limit

    @property
    def state(self) -> str:
        """ "prefill" or "decode"."""
        return "decode" if self.is_decoding else "prefill"

    def admitted(self, table: Table, n_cached: int) -> None:
        """It has its blocks and may run."""
        self.table, self.n_computed = table, n_cached
        if self._admitted_s == 0:  # not when it comes back
            self._admitted_s, self.n_cached = time.monotonic(), n_cached
        if self.request.return_progress:
            self._send_progress()

    def prompt_computed(self, start: int, logits: Items[np.ndarray]) -> None:
        """Tell of the prompt's tokens, from position start on, if that is wanted.  logits (V,) of each one"""
        if not self.request.prompt_logprobs:
            if self.request.return_progress:
                self._send_progress()
            return
        start, logits = max(start, self._n_told), logits[max(self._n_told - start, 0) :]
        told = self.tokens[start + 1 : start + 1 + len(logits)]
        self._n_told = start + len(told)
        self._send_progress(self._probabilities.of_prompt(told, logits[: len(told)]))

    def preempted(self) -> None:
        """It has lost its blocks, and begins anew with all its tokens."""
        self.table, self.n_computed, self.draft, self.slot = Table(share=False), 0, (), -1

    def shift_bounds(self) -> tuple[int, int]:
        """What a context shift keeps at the front, and how many tokens it drops after that."""
        assert self._shifting is not None
        return self._shifting.bounds(self.n_computed)

    def shifted(self, n_keep: int, n_discard: int) -> None:
        """The tokens behind the first n_keep are gone."""
        del self.tokens[n_keep : n_keep + n_discard]
        self.n_computed -= n_discard
        self.n_discarded += n_discard

    def probs(self, token: int, logits: np.ndarray) -> TokenProbs | None:
        """Of the token that was just sampled from these logits (V,); None unless that is wanted."""
        return None if self._probabilities is None else self._probabilities.of_answer(token, logits, self.sampler.left)

    def accept(self, token: int, probs: TokenProbs | None = None) -> bool:
        """Take a sampled token and send its text; True when it was the last one."""
        now = time.monotonic()
        if self.n_predicted == 0:
            self._first_token_s = now
        self.tokens.append(token)
        self.n_predicted += 1
        n_before = self._output.n_chars
        text, stop = self._output.push(token)
        text, limited = self._limits.push(text, 1e3 * (now - self._first_token_s))
        self.has_new_line = self.has_new_line or "\n" in text
        told = () if probs is None else (replace(probs, n_chars=self._output.n_chars - n_before),)
        timings = self._timings() if self.request.timings_per_token else None
        self.generation.put(TextEvent(text, (token,), told, timings))
        full = self.is_full and self._shifting is None
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
        truncated, timings = truncated or self.n_discarded > 0, self._timings()
        event = FinishEvent(reason, stopping_word, self.n_prompt, self.n_predicted, truncated, timings, self.slot)
        self.generation.put(event)

    def _timings(self) -> Timings:
        now = time.monotonic()
        first = self._first_token_s if self.n_predicted > 0 else now
        n_done = self.n_prompt if self.n_predicted > 0 else min(self.n_computed, self.n_prompt)
        return Timings(
            n_cached=self.n_cached,
            n_prompt=max(n_done - self.n_cached, 0),
            prompt_ms=1e3 * (first - self._admitted_s) if self._admitted_s > 0 else 0.0,
            n_predicted=self.n_predicted,
            predicted_ms=1e3 * (now - first),
            n_drafted=self.n_drafted,
            n_accepted=self.n_accepted,
        )
