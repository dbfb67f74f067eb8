"""Engine: one thread that owns the model and runs all requests, a step at a time."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from llamabox.engine.checking import check_embedding
from llamabox.engine.embedder import Embedder
from llamabox.engine.embedding import Embedding
from llamabox.engine.errands import Errands
from llamabox.engine.generation import Generation
from llamabox.engine.loras import LoraScales
from llamabox.engine.options import EngineOptions
from llamabox.engine.preparing import Preparation
from llamabox.engine.request import (
    EmbeddingRequest,
    EngineBusyError,
    FinishEvent,
    GenerationRequest,
    RequestError,
    SpeculativeParams,
)
from llamabox.engine.sequence import Sequence
from llamabox.engine.slot_state import SlotLayout, SlotState
from llamabox.engine.speculation import SpeculationOptions
from llamabox.engine.status import EngineStatus, SlotStatus
from llamabox.engine.stepping import Stepper

log = logging.getLogger(__name__)

ABORT_S = 5.0


class Engine:
    """Continuous batching over one LoadedModel.

    Either `start()` a thread, or call `step()` yourself, always from the same thread. `submit`, `status` and a
    Generation's `cancel` may be called from any thread.
    tokenizer    None: a model without a vocabulary; its generations have tokens and no text
    loras        the scales of the model's LoRA adapters, for requests that name none
    speculation  None: without drafts
    """

    def __init__(self, model, tokenizer, options: EngineOptions, speculation: SpeculationOptions | None = None):
        self.model, self.tokenizer, self.options = model, tokenizer, options
        if options.context_shift and self.generates and model.key_ropes is None:
            log.warning("context shift is off: %s keeps positions that cannot be moved", model.arch)
        self.loras = LoraScales(options.lora_scales)
        self._preparation = Preparation(model, tokenizer, options, self.loras)
        self._stepper = Stepper(model, options, self._ended, speculation)
        self._embedder = Embedder(model, options, self._embedded)
        self._inbox: deque[Sequence] = deque()
        self._embedding_inbox: deque[Embedding] = deque()
        self._errands = Errands()
        self._lock = threading.Lock()  # guards _n_open and _closing
        self._n_open = 0  # requests that have no last event yet
        self._closing = self._aborting = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- for any thread ---------------------------------------------------------------------------------------------

    def submit(self, request: GenerationRequest) -> Generation:
        """Queue a request.

        Errors:  RequestError, ContextLengthError for one that cannot be served; EngineBusyError when the queue is full
        """
        if not self.generates:
            raise RequestError(f"model: {self.model.arch} gives embeddings and no text")
        generation = Generation(request, self._wake.set)
        self._enter(self._inbox, self._preparation.sequence(generation))
        return generation

    def embed(self, request: EmbeddingRequest) -> Embedding:
        """Queue texts to make vectors of.

        Errors:  RequestError for what cannot be served, a text longer than max_embedding_tokens among it;
                 EngineBusyError when the queue is full
        """
        check_embedding(request, self.model, self.max_embedding_tokens)
        embedding = Embedding(request, self._wake.set, self.loras.chosen(None))
        self._enter(self._embedding_inbox, embedding)
        return embedding

    @property
    def generates(self) -> bool:
        """False for a model that gives embeddings and no text."""
        return self.model.causal and not self.model.is_encoder

    @property
    def max_embedding_tokens(self) -> int:
        """Tokens of the longest text that `embed` takes: one that sees itself whole has to fit into a step."""
        o = self.options
        return o.n_seq if self.generates else min(o.n_seq, o.n_batch, o.n_ubatch)

    def status(self) -> EngineStatus:
        """How things stood after the last step, with the requests that came since."""
        status = self._stepper.tally.status
        return replace(status, waiting=status.waiting + len(self._inbox))

    def slots(self) -> tuple[SlotStatus, ...]:
        """Each slot after the last step."""
        return self._stepper.tally.slots

    @property
    def drafts(self) -> bool:
        """Whether answers are speculated on."""
        return self._stepper.drafts

    @property
    def slot_layout(self) -> SlotLayout:
        """What a saved slot must agree with; takes a moment the first time."""
        return self._stepper.slot_actions.layout

    def save_slot(self, id: int) -> Future[SlotState]:
        """A copy of what a slot holds, once it is idle."""
        return self._errand(id, lambda: self._stepper.slot_actions.save(id))

    def restore_slot(self, id: int, state: SlotState, moved: bool = False) -> Future[None]:
        """Fill a slot, once it is idle. moved: for requests with n_cache_reuse"""
        return self._errand(id, lambda: self._stepper.slot_actions.restore(id, state, moved))

    def erase_slot(self, id: int) -> Future[int]:
        """Empty a slot, once it is idle -> how many tokens it held."""
        return self._errand(id, lambda: self._stepper.slot_actions.erase(id))

    def _errand(self, id: int, work: Callable[[], Any]) -> Future:
        if not 0 <= id < self.options.n_parallel:
            raise RequestError(f"id_slot: found {id}, expected 0 to {self.options.n_parallel - 1}", "id_slot")
        slot = self._stepper.scheduler.slots[id]
        with self._lock:
            if self._closing:
                raise EngineBusyError("the engine is closing")
            future = self._errands.add(lambda: slot.sequence is None, work)
        self._wake.set()
        return future

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
            self._errands.refuse()
            self._stepper.close()

    def _enter(self, inbox: deque, item: Sequence | Embedding) -> None:
        with self._lock:
            if self._closing:
                raise EngineBusyError("the engine is closing")
            if self._n_open >= self.options.n_running + self.options.max_queue:
                raise EngineBusyError(f"{self._n_open} requests are running or waiting, no more are accepted for now")
            self._n_open += 1
            inbox.append(item)
        self._wake.set()

    # ---- for the thread that steps ----------------------------------------------------------------------------------

    def step(self) -> bool:
        """Run one batch of sequences (all that decode, some prefill) and one of embeddings. False: nothing to do."""
        while self._inbox:
            self._stepper.scheduler.add(self._inbox.popleft())
        self._stepper.drop(lambda sequence: sequence.generation.cancelled or self._aborting)
        while self._embedding_inbox:
            self._embedder.add(self._embedding_inbox.popleft())
        self._embedder.drop(self._aborting)
        ran = self._errands.run()
        worked = self._stepper.step() or ran
        started = time.monotonic()
        n_rows = self._embedder.step(self._stepper.spare_rows)
        if n_rows > 0:
            self._stepper.tally.embedded(n_rows, time.monotonic() - started)
        return worked or n_rows > 0

    def warm_up(self) -> None:
        """Run a few steps before `start`: kernels get compiled or loaded, for all numbers of rows at once, weights get
        into memory, and backends that plan a shape of steps do so when they meet it for the second time."""
        if not self.generates:
            self.warm_up_embeddings()
        else:
            draft = SpeculativeParams(n_max=2, n_min=0, p_min=0.0)
            for n_predict in (2, 4)[: self.options.n_running]:  # two steps of two sequences, then two of one
                request = GenerationRequest(
                    (0,), n_predict=n_predict, ignore_eos=True, cache_prompt=False, speculative=draft
                )
                self.submit(request)
            self._finish_warming()

    def warm_up_embeddings(self) -> None:
        """The same for texts to embed."""
        self.embed(EmbeddingRequest(((0,), (0,)), "cls"))
        self._finish_warming()

    def _finish_warming(self) -> None:
        while self._n_open > 0:
            self.step()
        self._stepper.reset_figures()

    def measure_speed(self, n_tokens: int = 16) -> float:
        """Tokens a second of one answer alone, before `start`."""
        prompt = (0,) * min(32, self.options.n_seq - 1)
        request = GenerationRequest(prompt, n_predict=n_tokens + 1, ignore_eos=True, cache_prompt=False)
        generation = self.submit(request)
        while self._n_open > 0:
            self.step()
        self._stepper.reset_figures()
        timings = [event for event in generation if isinstance(event, FinishEvent)][-1].timings
        return (timings.n_predicted - 1) / max(1e-6, timings.predicted_ms / 1e3)

    def _run(self) -> None:
        while not (self._closing and self._n_open == 0):
            self._wake.clear()
            try:
                worked = self.step()
            except Exception as error:  # a defect of ours: nobody may wait forever for it
                log.exception("a step of the engine failed")
                self._stepper.fail_all(error)
                self._embedder.fail_all(error)
                continue
            if not worked and not (self._closing and self._n_open == 0):
                self._wake.wait(self._stepper.pause_s)
        self._errands.refuse()
        self._stepper.close()

    def _embedded(self) -> None:
        self._stepper.tally.ended()
        self._ended()

    def _ended(self) -> None:
        with self._lock:
            self._n_open -= 1
