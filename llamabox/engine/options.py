"""EngineOptions, and the rule that turns -c and -np into the context of one sequence."""

import logging
from dataclasses import dataclass

from llamabox.engine.request import RequestError
from llamabox.kernels import BLOCK

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineOptions:
    """How an Engine runs; checked when it is made.

    n_ctx         tokens of KV memory in all (-c); a sequence holds at most n_seq of them
    n_parallel    sequences that run at once (-np)
    kv_unified    False: n_seq is n_ctx // n_parallel, and there is always room for as many. True: it is n_ctx; when
                  memory is full, the youngest sequence gives way and is computed anew later
    max_seq       with kv_unified, most tokens of one sequence; 0: n_ctx
    context_shift a full context drops tokens and goes on, where the model allows it; otherwise it ends the answer
    similarity    see Slots
    n_batch, n_ubatch  most rows of one step; the smaller of the two counts (-b, -ub)
    continuous    False: one request at a time (-nocb)
    max_queue     requests that may wait; more are refused with EngineBusyError
    lora_scales   of the model's LoRA adapters, until `Engine.loras.set`
    max_step_s    longest gap between two tokens of a running sequence that prefill of others may cause
    """

    n_ctx: int
    n_parallel: int = 1
    n_batch: int = 2048
    n_ubatch: int = 512
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    continuous: bool = True
    max_queue: int = 256
    max_step_s: float = 0.5
    lora_scales: tuple[float, ...] = ()
    kv_unified: bool = False
    max_seq: int = 0
    context_shift: bool = False
    similarity: float = 0.5

    def __post_init__(self):
        for name in ("n_ctx", "n_parallel", "n_batch", "n_ubatch", "max_queue", "max_step_s"):
            value = getattr(self, name)
            if not value > 0:
                raise RequestError(f"{name}: found {value}, expected more than 0", name)
        if self.n_seq < 2:
            raise RequestError(
                f"n_ctx: found {self.n_ctx} tokens for {self.n_parallel} sequences, expected at least 2 for each",
                "n_ctx",
            )

    @property
    def n_seq(self) -> int:
        """Tokens that one sequence may hold, prompt and answer together."""
        if not self.kv_unified:
            return self.n_ctx // self.n_parallel
        return min(self.n_ctx, self.max_seq) if self.max_seq > 0 else self.n_ctx

    @property
    def n_blocks(self) -> int:
        """Blocks of KV memory: one sequence always fits, and without kv_unified n_parallel of them do."""
        return -(-self.n_ctx // BLOCK) if self.kv_unified else self.n_parallel * -(-self.n_seq // BLOCK)

    @property
    def n_running(self) -> int:
        """Sequences that may run at once."""
        return self.n_parallel if self.continuous else 1


def effective_context(requested: int, n_ctx_train: int, rope_options_given: bool, n_parallel: int = 1) -> int:
    """Tokens of KV memory for all sequences, from what -c asks for.

    requested           -c; 0: the model's own context
    rope_options_given  True when the user changed RoPE, so that positions beyond the training context mean something
    Returns at most n_ctx_train a sequence, with a warning when that is less than requested.
    """
    if requested < 0:
        raise RequestError(f"-c: found {requested}, expected 0 or more", "n_ctx")
    if requested == 0:
        return n_ctx_train
    if rope_options_given or requested // n_parallel <= n_ctx_train:
        return requested
    log.warning(
        "-c %d gives each of %d sequences more than the %d tokens the model was trained on: using %d "
        "(set RoPE scaling options to go beyond)",
        requested,
        n_parallel,
        n_ctx_train,
        n_ctx_train * n_parallel,
    )
    return n_ctx_train * n_parallel
