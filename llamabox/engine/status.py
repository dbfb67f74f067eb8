"""EngineStatus: a picture of the engine after a step, for /health, /slots and /metrics. Frozen data."""

from dataclasses import dataclass

from llamabox.engine.request import GenerationRequest


@dataclass(frozen=True)
class SequenceStatus:
    """One running request. state: "prefill" or "decode"; counts in tokens."""

    request_id: str
    state: str
    n_prompt: int
    n_computed: int
    n_cached: int
    n_predicted: int


@dataclass(frozen=True)
class SlotStatus:
    """One slot. state: "idle", "prefill" or "decode"; request: None while idle; counts in tokens, of the request.

    n_computed  while idle: how many tokens of the last request were left as cache
    """

    id: int
    id_task: int = -1
    state: str = "idle"
    request: GenerationRequest | None = None
    n_prompt: int = 0
    n_computed: int = 0
    n_cached: int = 0
    n_predicted: int = 0
    has_new_line: bool = False


@dataclass(frozen=True)
class EngineStatus:
    """Requests running and waiting, KV blocks (used: held by sequences; cached: kept for reuse), counters since start.

    A step's seconds are divided between prompt and prediction by its rows.
    """

    running: int = 0
    waiting: int = 0
    kv_blocks: int = 0
    kv_used: int = 0
    kv_cached: int = 0
    requests: int = 0  # ended, in whatever way
    steps: int = 0
    busy: int = 0  # sequences in these, added up
    tokens_max: int = 0  # most that a sequence has held
    prompt_tokens: int = 0  # computed, without those found in the cache
    prompt_seconds: float = 0.0
    cached_tokens: int = 0  # found in the cache
    predicted_tokens: int = 0
    predicted_seconds: float = 0.0
    drafts: int = 0  # that were verified
    drafted_tokens: int = 0
    accepted_tokens: int = 0  # of the drafted ones
    accepted_by_position: tuple[int, ...] = ()  # drafts whose first, second, ... token was accepted
    sequences: tuple[SequenceStatus, ...] = ()
