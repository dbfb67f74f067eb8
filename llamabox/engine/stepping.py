"""Stepper: one batch after another: who runs, a forward pass, and the tokens that follow from it."""

import logging
import time
from collections.abc import Callable, Iterable

import numpy as np

from llamabox.engine.fetching import fetch
from llamabox.engine.kv_memory import KVMemory
from llamabox.engine.options import EngineOptions
from llamabox.engine.pace import Pace
from llamabox.engine.request import GenerationError
from llamabox.engine.sampling import Candidates
from llamabox.engine.scheduler import Scheduler, Work
from llamabox.engine.sequence import Sequence
from llamabox.engine.slot_actions import SlotActions
from llamabox.engine.slots import Slots
from llamabox.engine.speculation import SpeculationOptions, Speculator
from llamabox.engine.tally import Tally
from llamabox.kernels import Rows, make_step
from llamabox.models.diagnose import first_not_finite

log = logging.getLogger(__name__)


class Stepper:
    """Runs the sequences of one model; for one thread.

    on_end       called once for each sequence that is over
    speculation  None: without drafts
    """

    def __init__(
        self, model, options: EngineOptions, on_end: Callable[[], None], speculation: SpeculationOptions | None = None
    ):
        self._model, self._options, self._on_end = model, options, on_end
        n_blocks = options.n_blocks
        shapes = model.config.kv_shapes() if model.causal else []
        self._kv = model.ops.kv_cache(shapes, n_blocks, options.cache_type_k, options.cache_type_v)
        log.info("KV cache: %s", self._kv.describe())
        memory = KVMemory(n_blocks, self._kv.copy_block, self._move_cells)
        self.scheduler = Scheduler(memory, options.n_running, Slots(options.n_parallel, options.similarity))
        self.slot_actions = SlotActions(model, options, self._kv, self.scheduler)
        self._max_rows = min(options.n_batch, options.n_ubatch)
        self._speculator = None
        if speculation is not None:
            self._speculator = Speculator(speculation, n_blocks, model.config.n_vocab, self._max_rows)
        self.reset_figures()

    def reset_figures(self) -> None:
        """Forget what was counted and measured."""
        self._pace = Pace(self._max_rows, self._options.max_step_s)
        self.tally = Tally(self.scheduler.memory.n_blocks, self._options.n_parallel)

    def step(self) -> bool:
        """Run one batch: decode all that do, and some prefill. False: nothing to do, for `pause_s`."""
        started = time.monotonic()
        self.scheduler.shift()
        self.scheduler.admit()
        if self._speculator is not None:
            n_decoding = sum(s.is_decoding for s in self.scheduler.running)
            self._speculator.draft(self.scheduler.running, self._pace.prefill_rows(n_decoding))
        n_decoding = sum(1 + len(s.draft) for s in self.scheduler.running if s.is_decoding)
        works = self._plan(self._pace.prefill_rows(n_decoding), started)
        if works:
            n_prefill = sum(w.count for w in works if not w.decodes)
            self._compute(works)
            self._pace.measured(n_prefill, n_decoding, time.monotonic() - started)
        self.tally.stepped(works, time.monotonic() - started, self.scheduler)
        return bool(works)

    def _plan(self, n_rows: int, now: float) -> list[Work]:
        """The works of a step. When nobody has room to go on, the youngest gives way until one has."""
        while True:
            works = self.scheduler.plan(n_rows, lambda sequence: sequence.next_s > now)
            stuck = not works and self.scheduler.running and self.pause_s is None
            if not stuck:
                return works
            if not self.scheduler.preempt():
                self._fail(self.scheduler.running.copy(), GenerationError("KV memory has no room for one sequence"))
            self.scheduler.shift()

    @property
    def drafts(self) -> bool:
        return self._speculator is not None

    @property
    def pause_s(self) -> float | None:
        """How long there is nothing to do because of limits on tokens per second; None: no such limit is in the way."""
        now = time.monotonic()
        rests = [s.next_s - now for s in self.scheduler.running if s.is_decoding and s.next_s > now]
        return min(rests, default=None)

    def _move_cells(self, sources: list[int], targets: list[int], deltas: list[int]) -> None:
        self._model.ops.move_cells(self._kv, sources, targets, deltas, self._model.key_ropes)

    def close(self) -> None:
        """Nothing is run any more: what outlives the engine is written."""
        if self._speculator is not None:
            self._speculator.close()

    @property
    def spare_rows(self) -> int | None:
        """Rows of other work that a step may hold beside those who decode; None: nobody does."""
        n_decoding = sum(1 + len(s.draft) for s in self.scheduler.running if s.is_decoding)
        return self._pace.prefill_rows(n_decoding) if n_decoding > 0 else None

    def drop(self, unwanted: Callable[[Sequence], bool]) -> None:
        """Cancel the sequences that are no longer wanted: they leave the queue, or their blocks."""
        for sequence in [*self.scheduler.running, *self.scheduler.waiting]:
            if unwanted(sequence):
                self.scheduler.remove(sequence)
                sequence.finish("cancelled")
                self._ended()

    def fail_all(self, error: Exception) -> None:
        """End every sequence with an error."""
        self._fail([*self.scheduler.running, *self.scheduler.waiting], error)

    def _compute(self, works: list[Work]) -> None:
        """One forward pass, then what follows from it for each sequence."""
        try:
            rows = self._forward(works)
        except Exception as error:  # whatever went wrong in there must not end the engine
            log.exception("a forward pass failed")
            self._fail([w.sequence for w in works], error)
            return
        start = 0
        for work in works:
            n_logits = work.n_logits
            self.scheduler.computed(work)
            self._follow(work, rows[start : start + n_logits])
            start += n_logits

    def _forward(self, works: list[Work]) -> list[Candidates]:
        """n_logits rows of logits for each work, as far as its sequence looks at them."""
        wants = [w.want for w in works]
        if all(want == "none" for want in wants):
            wants[-1] = "last"  # models and kernels never see an empty batch of rows
        rows = [Rows(w.start, w.count, w.sequence.table.blocks, want) for w, want in zip(works, wants, strict=True)]
        tokens = np.concatenate([np.array(w.tokens, np.int32) for w in works])
        adapters = [w.sequence.adapters for w in works]
        logits = self._model.forward(tokens, make_step(rows, self._kv), adapters)
        needs = [w.sequence.n_largest for w in works for _ in range(w.n_logits)]
        return fetch(self._model.ops, logits, needs or [1])  # one, to wait for the device: the step is timed

    def _follow(self, work: Work, rows: list[Candidates]) -> None:
        """What follows for the sequence from its n_logits rows; errors end this sequence and no other."""
        sequence = work.sequence
        try:
            if not sequence.is_decoding:
                self._tell_of_prompt(work, rows)
            over = work.samples and self._next_tokens(work, rows[-1 - len(work.draft) :])
        except GenerationError as error:
            self._fail([sequence], error)
        except Exception as error:  # as in _compute
            log.exception("sampling failed", extra={"request_id": sequence.request.request_id})
            self._fail([sequence], error)
        else:
            if over:
                self.scheduler.remove(sequence)
                self._ended()

    def _tell_of_prompt(self, work: Work, rows: list[Candidates]) -> None:
        if work.sequence.wants_prompt_rows:
            self._check_finite(work, rows)
        work.sequence.prompt_computed(work.start, [row.logits for row in rows])

    def _next_tokens(self, work: Work, rows: list[Candidates]) -> bool:
        """Sample a token, and the one after it for as long as the draft had guessed it. True when the last was among
        them."""
        sequence, n_right = work.sequence, 0
        if sequence.request.n_predict == 0 or sequence.sampler.is_over:
            self._check_finite(work, rows)
            sequence.finish("eos" if sequence.sampler.is_over else "limit")
            return True
        self.tally.drafted(sequence, len(work.draft))
        for guess, row in zip((*work.draft, None), rows, strict=True):
            self._check_finite(work, [row])
            token = sequence.sampler.sample(row)
            self.tally.predicted(sequence, n_right if token == guess else None)
            n_right += token == guess
            over = sequence.accept(token, sequence.probs(token, row.logits))
            if over or token != guess:
                break
        self.scheduler.accepted(work, n_right)
        return over

    def _check_finite(self, work: Work, rows: list[Candidates]) -> None:
        """GenerationError that says where logits that are not finite come from; computes the work once more, looking
        at every named value."""
        if all(np.isfinite(row.logits.max()) for row in rows):
            return
        tokens = np.array(work.sequence.tokens[work.start :], np.int32)
        step = make_step([Rows(work.start, len(tokens), work.sequence.table.blocks)], self._kv)
        name = first_not_finite(self._model, tokens, step, [work.sequence.adapters])
        where = "in the logits alone" if name is None else f"first in {name}, as value-layer"
        raise GenerationError(f"the model gives NaN or infinite logits, {where}: its file or a kernel is damaged")

    def _fail(self, sequences: Iterable[Sequence], error: Exception) -> None:
        """End these with an error; what they computed is not to be trusted, so it does not stay as cache."""
        if not isinstance(error, GenerationError):
            error = GenerationError(f"{type(error).__name__}: {error}")
        for sequence in sequences:
            self.scheduler.remove(sequence, keep=False)
            sequence.generation.put(error)
            self._ended()

    def _ended(self) -> None:
        self.tally.ended()
        self._on_end()
