"""Drafter: guesses of a small model, for all sequences at once. Its own KV memory follows the sequences."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llamabox.engine.fetching import fetch
from llamabox.engine.kv_memory import KVMemory, Table
from llamabox.engine.sampling import Candidates
from llamabox.engine.sequence import Sequence
from llamabox.engine.speculation.options import Bounds
from llamabox.kernels import Rows, make_step

TOP = 10  # the probability of a token is its share among so many of the most probable ones, as in llama.cpp
LAG = 32  # tokens that a sequence that wants no draft may be ahead of the draft model
FAR = 16.0  # logits so far below the largest add less than 1e-6 to the sum


@dataclass(eq=False)
class Follower:
    """Where the draft model is in a sequence.

    n_computed  leading tokens of the sequence whose keys and values are in the table's blocks
    ahead       the tokens of the cells after those: guesses that may turn out right
    n_discarded of the sequence when it was joined; a context shift makes all the follower has worthless
    """

    table: Table
    n_computed: int
    ahead: list[int] = field(default_factory=list)
    n_discarded: int = 0


class Drafter:
    """For one engine.  model: a LoadedModel; n_vocab: token ids of the model that it drafts for"""

    def __init__(self, model: Any, n_blocks: int, cache_type_k: str, cache_type_v: str, n_vocab: int):
        self._model, self._n_vocab = model, n_vocab
        self._kv = model.ops.kv_cache(model.config.kv_shapes(), n_blocks, cache_type_k, cache_type_v)
        self._memory = KVMemory(n_blocks, self._kv.copy_block)
        self._followers: dict[Sequence, Follower] = {}

    def draft(self, bounds: Mapping[Sequence, Bounds], running: Iterable[Sequence], n_rows: int) -> None:
        """Give each sequence in bounds a draft, and go on with the prompts of others, at most n_rows of them.

        bounds   for sequences of which all tokens but the last are computed
        running  all sequences to be followed
        """
        self._follow(running)
        drafts: dict[Sequence, list[int]] = {s: [] for s in bounds}
        active, best = self._catch_up(drafts, n_rows)
        while active:
            going_on = []
            for sequence, token, p in zip(active, *_likeliest(best), strict=True):
                draft, bound = drafts[sequence], bounds[sequence]
                if p >= bound.p_min:
                    draft.append(token)
                    if len(draft) < bound.n_max and self._has_room(sequence):
                        going_on.append(sequence)
            active = going_on
            if active:
                best = self._extend(active, [drafts[s][-1] for s in active])
        for sequence, draft in drafts.items():
            sequence.draft = tuple(draft) if len(draft) >= bounds[sequence].n_min else ()

    def _follow(self, running: Iterable[Sequence]) -> None:
        """Leave the sequences that have ended, join the new ones, and see which guesses have turned out right."""
        running = dict.fromkeys(running)
        for sequence, follower in list(self._followers.items()):
            if follower.n_discarded != sequence.n_discarded:
                del self._followers[sequence]
                self._memory.discard(follower.table)
            elif sequence not in running:
                del self._followers[sequence]
                self._memory.close(follower.table, sequence.tokens, follower.n_computed)
        for sequence in running:
            follower = self._followers.get(sequence)
            if follower is None:
                table, n_computed = self._memory.open(sequence.tokens, sequence.request.cache_prompt)
                follower = self._followers[sequence] = Follower(table, n_computed, n_discarded=sequence.n_discarded)
            for guess in follower.ahead:
                if sequence.tokens[follower.n_computed] != guess:
                    break
                follower.n_computed += 1
            follower.ahead.clear()

    def _catch_up(self, drafts: Mapping[Sequence, Any], n_rows: int) -> tuple[list[Sequence], list[Candidates]]:
        """Compute what the followers lack -> those in drafts that now lack nothing, and their rows of logits."""
        left = {s: len(s.tokens) - f.n_computed for s, f in self._followers.items()}
        lacking = sorted((s for s in left if s in drafts or left[s] > LAG), key=lambda s: left[s])
        rows, tokens, active = [], [], []
        for i, sequence in enumerate(lacking):
            follower = self._followers[sequence]
            count = min(left[sequence], max(2, n_rows // (len(lacking) - i)))
            start, end = follower.n_computed, follower.n_computed + count
            if count == 0 or not self._memory.grow(follower.table, end):
                continue
            n_rows -= count
            draws = count == left[sequence] and sequence in drafts
            active += [sequence] if draws else []
            rows.append(Rows(start, count, follower.table.blocks, "last" if draws else "none"))
            tokens += sequence.tokens[start:end]
            follower.n_computed = end
        if not rows:
            return [], []
        best = self._forward(rows, tokens)[: len(active)]
        for sequence in lacking:
            follower = self._followers[sequence]
            self._memory.publish(follower.table, sequence.tokens, follower.n_computed)
        return active, best

    def _has_room(self, sequence: Sequence) -> bool:
        follower = self._followers[sequence]
        return self._memory.grow(follower.table, follower.n_computed + len(follower.ahead) + 1)

    def _extend(self, sequences: list[Sequence], tokens: list[int]) -> list[Candidates]:
        """One more token for each -> a row of logits for each."""
        rows = []
        for sequence, token in zip(sequences, tokens, strict=True):
            follower = self._followers[sequence]
            rows.append(Rows(follower.n_computed + len(follower.ahead), 1, follower.table.blocks))
            follower.ahead.append(token)
        return self._forward(rows, tokens)

    def _forward(self, rows: list[Rows], tokens: list[int]) -> list[Candidates]:
        """Logits of tokens that the other model has, at least the TOP largest, of the rows that want them."""
        if all(part.want == "none" for part in rows):
            rows[-1] = Rows(rows[-1].start, rows[-1].count, rows[-1].table)  # see Stepper._forward
        known = np.minimum(np.array(tokens, np.int32), self._model.config.n_vocab - 1)  # the other may have a few more
        logits = self._model.forward(known, make_step(rows, self._kv))[:, : self._n_vocab]
        return fetch(self._model.ops, logits, [TOP] * len(logits))


def _likeliest(rows: list[Candidates]) -> tuple[list[int], list[float]]:
    """The most probable token of each row, and its probability; NaN where the model fails."""
    places = [int(row.logits.argmax()) for row in rows]
    shares = [_share(row.logits, row.logits[at]) for row, at in zip(rows, places, strict=True)]
    return [row.token(at) for row, at in zip(rows, places, strict=True)], shares


def _share(logits: np.ndarray, largest: float) -> float:
    """exp(largest) over the sum of exp of the TOP largest."""
    near = logits[logits > largest - FAR]
    if len(near) > TOP:
        near = np.partition(near, len(near) - TOP)[-TOP:]
    return float(1 / np.exp(near.astype(np.float64) - largest).sum()) if len(near) > 0 else float("nan")
