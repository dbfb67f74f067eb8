"""Engine: one thread that owns the model and runs all requests, a step at a time."""

import logging
import threading
import time
from collections import deque
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np

from llamabox.engine.checking import check_request
from llamabox.engine.generation import Generation
from llamabox.engine.kv_memory import KVMemory
from llamabox.engine.options import EngineOptions
from llamabox.engine.pace import Pace
from llamabox.engine.request import EngineBusyError, GenerationError, GenerationRequest, RequestError
from llamabox.engine.sampling import Sampler
from llamabox.engine.sampling.dry import Breakers, find_breakers
from llamabox.engine.scheduler import Scheduler, Work
from llamabox.engine.sequence import Sequence
from llamabox.engine.status import EngineStatus, SequenceStatus
from llamabox.engine.stopping import TextOutput, single_tokens
from llamabox.kernels import BLOCK, Rows, make_step
from llamabox.models.diagnose import first_not_finite

log = logging.getLogger(__name__)

ABORT_S = 5.0


class Engine:
    """Continuous batching over one LoadedModel.

    Either `start()` a thread, or call `step()` yourself, always from the same thread. `submit`, `status` and a
    Generation's `cancel` may be called from any thread.
    tokenizer  None: a model without a vocabulary; its generations have tokens and no text
    """

    def __init__(self, model, tokenizer, options: EngineOptions):
        if model.is_encoder or not model.causal:
            raise RequestError(f"model: {model.arch} gives embeddings and no text")
        self.model, self.tokenizer, self.options = model, tokenizer, options
        n_blocks = options.n_parallel * -(-options.n_seq // BLOCK)
        self._kv = model.ops.kv_cache(model.config.kv_shapes(), n_blocks, options.cache_type_k, options.cache_type_v)
        self._memory = KVMemory(n_blocks, self._kv.copy_block)
        self._scheduler = Scheduler(self._memory, options.n_running)
        self._pace = self._new_pace()
        self._end_ids = frozenset() if tokenizer is None else tokenizer.end_ids
        self._status = EngineStatus(kv_blocks=n_blocks)
        self._breakers = lru_cache(maxsize=32)(self._find_breakers)
        self._inbox: deque[Sequence] = deque()
        self._lock = threading.Lock()  # guards _n_open and _closing
        self._n_open = 0  # requests that have no last event yet
        self._n_predicted = 0
        self._closing = self._aborting = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- for any thread ---------------------------------------------------------------------------------------------

    def submit(self, request: GenerationRequest) -> Generation:
        """Queue a request.

        Errors:  RequestError, ContextLengthError for one that cannot be served; EngineBusyError when the queue is full
        """
        n_vocab, n_seq = self.model.config.n_vocab, self.options.n_seq
        check_request(request, n_vocab, n_seq)
        banned = self._end_ids if request.ignore_eos else frozenset()
        sampling = request.sampling
        breakers = self._breakers(sampling.dry_sequence_breakers) if sampling.dry_multiplier != 0 else None
        sampler = Sampler(sampling, request.prompt, n_vocab, n_seq, banned, breakers)
        generation = Generation(request, self._wake.set)
        sequence = Sequence(generation, sampler, self._output(request), self._end_ids, n_seq)
        with self._lock:
            if self._closing:
                raise EngineBusyError("the engine is closing")
            if self._n_open >= self.options.n_running + self.options.max_queue:
                raise EngineBusyError(f"{self._n_open} requests are running or waiting, no more are accepted for now")
            self._n_open += 1
            self._inbox.append(sequence)
        self._wake.set()
        return generation

    def _output(self, request: GenerationRequest) -> TextOutput:
        """What makes text of the request's tokens."""
        if self.tokenizer is None:
            return TextOutput(None, request.stop, frozenset())
        shown = single_tokens(self.tokenizer, request.preserved)
        hidden = frozenset() if request.special else self._end_ids - shown
        return TextOutput(self.tokenizer.stream(request.special, shown), request.stop, hidden)

    def status(self) -> EngineStatus:
        """How things stood after the last step, with the requests that came since."""
        status = self._status
        return replace(status, waiting=status.waiting + len(self._inbox))

    def start(self) -> None:
        """Run steps in a thread of its own until `close`."""
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 0.0) -> None:
        """Accept no more requests, finish what is open within timeout_s, cancel the rest.

        Returns at the latest ABORT_S later, with a step still running if that takes longer.
        """
        deadline = time.monotonic() + timeout_s
        with self._lock:
            self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        while self._thread is None and self._n_open > 0 and time.monotonic() < deadline:
            self.step()
        self._aborting = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(ABORT_S)
        else:
            self.step()

    # ---- for the thread that steps ----------------------------------------------------------------------------------

    def step(self) -> bool:
        """Run one batch: a token for each sequence that decodes, and some prefill. False: nothing to do."""
        self._take_in()
        self._scheduler.admit()
        n_decoding = sum(s.is_decoding for s in self._scheduler.running)
        works = self._scheduler.plan(self._pace.prefill_rows(n_decoding))
        started = time.monotonic()
        if works:
            self._compute(works)
            n_prefill = sum(w.count for w in works) - n_decoding
            self._pace.measured(n_prefill, n_decoding, time.monotonic() - started)
        self._picture(works, time.monotonic() - started)
        return bool(works)

    def warm_up(self) -> None:
        """Run some prefill and decode steps before `start`: kernels get compiled, weights get into memory."""
        prompt = (0,) * min(32, self.options.n_seq - 1)
        for n_predict in range(2, 2 + min(2, self.options.n_running)):  # decode of two sequences, then of one
            self.submit(GenerationRequest(prompt, n_predict=n_predict, ignore_eos=True, cache_prompt=False))
        while self._n_open > 0:
            self.step()
        self._pace, self._status = self._new_pace(), EngineStatus(kv_blocks=self._memory.n_blocks)
        self._n_predicted = 0

    def _run(self) -> None:
        while not (self._closing and self._n_open == 0):
            self._wake.clear()
            try:
                worked = self.step()
            except Exception as error:  # a defect of ours: nobody may wait forever for it
                log.exception("a step of the engine failed")
                self._fail([*self._scheduler.running, *self._scheduler.waiting], error)
                continue
            if not worked and not (self._closing and self._n_open == 0):
                self._wake.wait()

    def _take_in(self) -> None:
        """New requests join the queue, cancelled ones leave it, or their blocks."""
        while self._inbox:
            self._scheduler.add(self._inbox.popleft())
        for sequence in [*self._scheduler.running, *self._scheduler.waiting]:
            if sequence.generation.cancelled or self._aborting:
                self._scheduler.remove(sequence)
                sequence.finish("cancelled")
                self._ended()

    def _compute(self, works: list[Work]) -> None:
        """One forward pass, then what follows from it for each sequence."""
        try:
            logits = self._forward(works)
        except Exception as error:  # whatever went wrong in there must not end the engine
            log.exception("a forward pass failed")
            self._fail([w.sequence for w in works], error)
            return
        row = 0
        for work in works:
            self._scheduler.computed(work)
            if work.samples:
                self._sample(work, logits[row])
                row += 1

    def _forward(self, works: list[Work]) -> np.ndarray:
        """Logits f32 (R, V): one row for each work that samples."""
        wants = ["last" if w.samples else "none" for w in works]
        if "last" not in wants:
            wants[-1] = "last"  # models and kernels never see an empty batch of rows
        rows = [Rows(w.start, w.count, w.sequence.table.blocks, want) for w, want in zip(works, wants, strict=True)]
        tokens = np.concatenate([np.array(w.sequence.tokens[w.start : w.start + w.count], np.int32) for w in works])
        return self.model.ops.to_numpy(self.model.forward(tokens, make_step(rows, self._kv)))

    def _sample(self, work: Work, logits: np.ndarray) -> None:
        """The sequence's next token from its logits (V,); errors end this sequence and no other."""
        sequence = work.sequence
        try:
            over = self._next_token(work, logits)
        except GenerationError as error:
            self._fail([sequence], error)
        except Exception as error:  # as in _compute
            log.exception("sampling failed", extra={"request_id": sequence.request.request_id})
            self._fail([sequence], error)
        else:
            if over:
                self._scheduler.remove(sequence)
                self._ended()

    def _next_token(self, work: Work, logits: np.ndarray) -> bool:
        """True when that was the sequence's last."""
        sequence = work.sequence
        if not np.isfinite(logits.max()):
            raise GenerationError(self._diagnose(work))
        if sequence.request.n_predict == 0:
            sequence.finish("limit")
            return True
        token = sequence.sampler.sample(logits)
        self._n_predicted += 1
        return sequence.accept(token)

    def _diagnose(self, work: Work) -> str:
        """Where logits that are not finite come from; computes the work once more, looking at every named value."""
        tokens = np.array(work.sequence.tokens[work.start :], np.int32)
        rows = Rows(work.start, len(tokens), work.sequence.table.blocks)
        name = first_not_finite(self.model, tokens, make_step([rows], self._kv))
        where = "in the logits alone" if name is None else f"first in {name}, as value-layer"
        return f"the model gives NaN or infinite logits, {where}: its file or a kernel is damaged"

    def _fail(self, sequences: list[Sequence], error: Exception) -> None:
        """End these with an error; what they computed is not to be trusted, so it does not stay as cache."""
        if not isinstance(error, GenerationError):
            error = GenerationError(f"{type(error).__name__}: {error}")
        for sequence in sequences:
            self._scheduler.remove(sequence, keep=False)
            sequence.generation.put(error)
            self._ended()

    def _ended(self) -> None:
        self._status = replace(self._status, requests=self._status.requests + 1)
        with self._lock:
            self._n_open -= 1

    def _picture(self, works: list[Work], seconds: float) -> None:
        """Publish the status after a step."""
        s = self._status
        n_rows = sum(w.count for w in works)
        n_prompt = sum(w.count for w in works if w.start + w.count <= w.sequence.n_prompt)
        per_row = seconds / n_rows if n_rows > 0 else 0.0
        self._status = replace(
            s,
            running=len(self._scheduler.running),
            waiting=len(self._scheduler.waiting),
            kv_used=self._memory.n_used,
            kv_cached=self._memory.n_cached,
            steps=s.steps + bool(works),
            prompt_tokens=s.prompt_tokens + n_prompt,
            prompt_seconds=s.prompt_seconds + n_prompt * per_row,
            cached_tokens=self._scheduler.n_reused,
            predicted_tokens=self._n_predicted,
            predicted_seconds=s.predicted_seconds + (n_rows - n_prompt) * per_row,
            sequences=tuple(
                SequenceStatus(q.request.request_id, q.state, q.n_prompt, q.n_computed, q.n_cached, q.n_predicted)
                for q in self._scheduler.running
            ),
        )

    def _new_pace(self) -> Pace:
        return Pace(min(self.options.n_batch, self.options.n_ubatch), self.options.max_step_s)

    def _find_breakers(self, texts: tuple[str, ...]) -> Breakers:
        if self.tokenizer is None:
            return {}
        return find_breakers(texts, self._pieces, lambda text: self.tokenizer.encode(text, False))

    @cached_property
    def _pieces(self) -> list[bytes]:
        return [self.tokenizer.piece(id) for id in range(self.tokenizer.n_vocab)]
