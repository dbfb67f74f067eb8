"""Fields that every request for text may have."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from llamabox.server.schemas.bounds import (
    INT32,
    INT64,
    MAX_PROBS,
    Choices,
    Count,
    Natural,
    NotNegative,
    Penalty,
    Positive,
    Share,
    Text,
)


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class LoraScale(msgspec.Struct):
    """One adapter of a request, or of POST /lora-adapters."""

    id: Natural
    scale: Annotated[float, Meta(ge=-1e6, le=1e6)]


class SamplingFields(msgspec.Struct, kw_only=True):
    """llama-server's names; OpenAI's are among them."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    sse_ping_interval: Count | None = None
    return_progress: bool | None = None
    timings_per_token: bool | None = None
    n: Choices | None = None
    n_cmpl: Choices | None = None
    n_predict: Annotated[int, Meta(ge=-2, le=INT32)] | None = None
    n_indent: Natural | None = None
    t_max_predict_ms: Annotated[int, Meta(ge=-1, le=INT64)] | None = None
    stop: str | list[str] | None = None
    ignore_eos: bool | None = None
    cache_prompt: bool | None = None
    n_cache_reuse: Natural | None = None
    id_slot: Count | None = None
    n_keep: Count | None = None
    n_discard: Natural | None = None
    seed: Annotated[int, Meta(ge=-1, le=2**63 - 1)] | None = None
    samplers: list[str] | str | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    dynatemp_range: NotNegative | None = None
    dynatemp_exponent: NotNegative | None = None
    top_k: Annotated[int, Meta(ge=-1, le=INT32)] | None = None
    top_p: Share | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    min_keep: Natural | None = None
    top_n_sigma: Annotated[float, Meta(ge=-1e9, le=1e9)] | None = None
    xtc_probability: Share | None = None
    xtc_threshold: Share | None = None
    repeat_last_n: Count | None = None
    repeat_penalty: Positive | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    dry_multiplier: NotNegative | None = None
    dry_base: Annotated[float, Meta(ge=1, le=1e9)] | None = None
    dry_allowed_length: Natural | None = None
    dry_penalty_last_n: Count | None = None
    dry_sequence_breakers: list[str] | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: NotNegative | None = None
    mirostat_eta: NotNegative | None = None
    speculative_n_max: Natural | None = msgspec.field(default=None, name="speculative.n_max")
    speculative_n_min: Natural | None = msgspec.field(default=None, name="speculative.n_min")
    speculative_p_min: Share | None = msgspec.field(default=None, name="speculative.p_min")
    logit_bias: dict[str, Annotated[float, Meta(ge=-1e9, le=1e9)] | bool] | list[Any] | None = None
    n_probs: Annotated[int, Meta(ge=0, le=MAX_PROBS)] | None = None
    post_sampling_probs: bool | None = None
    # what the answer has to be
    grammar: Text | None = None
    json_schema: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    grammar_lazy: bool | None = None
    grammar_triggers: Annotated[list[dict[str, Any]], Meta(max_length=64)] | None = None
    lora: Annotated[list[LoraScale], Meta(max_length=1024)] | None = None


class OpenAIFields(SamplingFields, kw_only=True):
    model: str | None = None
    max_tokens: Annotated[int, Meta(ge=-1, le=INT32)] | None = None
