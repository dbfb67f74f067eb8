"""Speculator: before each step it makes drafts, from n-grams or else with a draft model."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from llamabox.engine.sequence import Sequence
from llamabox.engine.speculation.drafter import Drafter
from llamabox.engine.speculation.lookup import Lookup
from llamabox.engine.speculation.ngram_file import NgramFileError, read_ngrams, write_ngrams
from llamabox.engine.speculation.ngrams import FrozenBigrams, NgramTable
from llamabox.engine.speculation.options import Bounds, SpeculationOptions

log = logging.getLogger(__name__)

COUNT_AT_ONCE = 4096  # tokens of a prompt that one step counts, about 10 ms


class Context:
    """The n-grams of one sequence, of its first n_counted tokens, those that context shifts dropped among them."""

    def __init__(self, n_min: int):
        self.table, self.n_counted, self._n_discarded = NgramTable(n_min), 0, 0

    def count(self, sequence: Sequence) -> bool:
        """Count what is new; True when nothing is left."""
        tokens = sequence.tokens
        self.n_counted = max(0, self.n_counted - (sequence.n_discarded - self._n_discarded))
        self._n_discarded = sequence.n_discarded
        end = min(len(tokens), self.n_counted + COUNT_AT_ONCE)
        self.table.count(tokens[:end] if end < len(tokens) else tokens, self.n_counted)
        self.n_counted = end
        return end == len(tokens)


class Speculator:
    """For one engine, and the thread that steps it.

    n_blocks  of a draft model's KV memory
    n_vocab   token ids of the model that is drafted for
    max_rows  most rows of a step
    """

    def __init__(self, options: SpeculationOptions, n_blocks: int, n_vocab: int, max_rows: int):
        self._options, self._max_rows = options, max_rows
        self._drafter = None
        if options.model is not None:
            types = options.cache_type_k, options.cache_type_v
            self._drafter = Drafter(options.model, n_blocks, *types, n_vocab)
        self._lookup = None if options.ngram_min == 0 else _open_lookup(options, n_vocab)
        self._contexts: dict[Sequence, Context] = {}

    def draft(self, running: Iterable[Sequence], n_prefill: int) -> None:
        """Give drafts to those that can use one.  n_prefill: rows of prompts that a draft model may compute"""
        bounds = {s: self._options.bounds(s.request.speculative) for s in running}
        bounds = {s: b for s, b in bounds.items() if b.n_max > 0}
        ready = {s: self._limited(s, b, len(bounds)) for s, b in bounds.items() if s.n_left == 1 and s.is_decoding}
        ready = {s: b for s, b in ready.items() if b.n_max >= max(1, b.n_min) and not s.draft}
        if self._lookup is not None:
            self._look_up(bounds, ready)
        if self._drafter is not None:
            without = {s: b for s, b in ready.items() if not s.draft}
            try:
                self._drafter.draft(without, bounds, n_prefill)
            except Exception:  # the answers do not depend on it
                log.exception("the draft model failed: going on without it")
                self._drafter = None

    def close(self) -> None:
        """Write the dynamic n-gram cache, if there is one."""
        if self._lookup is None or self._options.dynamic is None:
            return
        self._remember(self._contexts)
        try:
            write_ngrams(self._options.dynamic, self._lookup.dynamic.items())
        except OSError as error:
            log.error("the n-gram cache %s cannot be written: %s", self._options.dynamic, error)

    def _limited(self, sequence: Sequence, bounds: Bounds, n_sequences: int) -> Bounds:
        """What still fits the answer, and the rows of a step, of which each sequence has an equal share."""
        most = min(bounds.n_max, sequence.n_room - 1, self._max_rows // n_sequences - 1)
        return Bounds(most, bounds.n_min, bounds.p_min)

    def _look_up(self, running: Iterable[Sequence], ready: dict[Sequence, Bounds]) -> None:
        """Drafts from n-grams."""
        assert self._lookup is not None
        self._remember([s for s in self._contexts if s not in running])
        for sequence in running:
            context = self._contexts.get(sequence)
            if context is None:
                context = self._contexts[sequence] = Context(self._lookup.n_min)
            bounds = ready.get(sequence)
            if context.count(sequence) and bounds is not None:
                draft = self._lookup.draft(sequence.tokens, bounds.n_max, context.table)
                sequence.draft = draft if len(draft) >= bounds.n_min else ()

    def _remember(self, ended: Iterable[Sequence]) -> None:
        """Count the answers of sequences that have ended, unless they ask for no trace."""
        assert self._lookup is not None
        for sequence in list(ended):
            del self._contexts[sequence]
            if sequence.request.cache_prompt and self._options.dynamic is not None:
                self._lookup.dynamic.count(sequence.tokens, max(0, sequence.n_prompt - sequence.n_discarded))


def _open_lookup(options: SpeculationOptions, n_vocab: int) -> Lookup:
    """Read the files. A dynamic one need not be there yet."""
    static = None if options.static is None else FrozenBigrams(read_ngrams(options.static, n_vocab))
    records = None
    if options.dynamic is not None:
        _check_writable(options.dynamic)
        records = read_ngrams(options.dynamic, n_vocab) if options.dynamic.exists() else None
    return Lookup(options.ngram_min, NgramTable(options.ngram_min, records), static)


def _check_writable(path: Path) -> None:
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise NgramFileError(f"n-gram cache {path}: found no folder {path.parent} that can be written to")
