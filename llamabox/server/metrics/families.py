"""The names that /metrics has, each with what it says of an EngineStatus."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from llamabox.engine import EngineStatus

Read = Callable[[EngineStatus], float]


@dataclass(frozen=True)
class Rates:
    """Tokens a second since the metrics were last read; 0 when there were none, as in llama-server."""

    prompt: float = 0.0
    predicted: float = 0.0

    @classmethod
    def between(cls, before: EngineStatus, now: EngineStatus) -> "Rates":
        return cls(
            _per_second(now.prompt_tokens - before.prompt_tokens, now.prompt_seconds - before.prompt_seconds),
            _per_second(
                now.predicted_tokens - before.predicted_tokens, now.predicted_seconds - before.predicted_seconds
            ),
        )


def _per_second(n: int, seconds: float) -> float:
    return n / seconds if n > 0 and seconds > 0 else 0.0


BOTH_COUNTERS: tuple[tuple[str, str, Read], ...] = (  # under both prefixes; Prometheus wants counters to end in _total
    ("prompt_tokens_total", "Number of prompt tokens processed.", lambda s: s.prompt_tokens),
    ("prompt_seconds_total", "Prompt process time.", lambda s: s.prompt_seconds),
    ("tokens_predicted_total", "Number of generation tokens processed.", lambda s: s.predicted_tokens),
    ("tokens_predicted_seconds_total", "Predict process time.", lambda s: s.predicted_seconds),
    ("n_decode_total", "Total number of forward passes.", lambda s: s.steps),
)
BOTH_GAUGES: tuple[tuple[str, str, Read], ...] = (
    ("n_busy_slots_per_decode", "Average number of sequences in a forward pass.", lambda s: s.busy / max(1, s.steps)),
    ("requests_processing", "Number of request processing.", lambda s: s.running),
    ("requests_deferred", "Number of request deferred.", lambda s: s.waiting),
)
BOX_COUNTERS: tuple[tuple[str, str, Read], ...] = (
    ("image_process_seconds_total", "Image process time.", lambda s: 0.0),
    ("image_generate_seconds_total", "Image generate time.", lambda s: 0.0),
    ("image_generate_steps_total", "Number of image generate steps.", lambda s: 0.0),
    ("tokens_drafted_total", "Number of speculative decoding tokens processed.", lambda s: s.drafted_tokens),
    (
        "tokens_drafted_accepted_total",
        "Number of speculative decoding tokens to be accepted.",
        lambda s: s.accepted_tokens,
    ),
)
BOX_GAUGES: tuple[tuple[str, str, Read], ...] = (
    ("image_steps_seconds", "Average image generation throughput in steps/s.", lambda s: 0.0),
    (
        "kv_cache_usage_ratio",
        "KV-cache usage by running sequences. 1 means 100 percent usage.",
        lambda s: s.kv_used / max(1, s.kv_blocks),
    ),
    ("kv_cache_tokens", "KV-cache tokens of running sequences.", lambda s: sum(q.n_computed for q in s.sequences)),
)
CPP_COUNTERS: tuple[tuple[str, str, Read], ...] = (
    ("prompt_tokens_cached_total", "Number of prompt tokens reused from the cache.", lambda s: s.cached_tokens),
    ("spec_decode_num_draft_tokens_total", "Draft tokens that were verified.", lambda s: s.drafted_tokens),
    ("spec_decode_num_accepted_tokens_total", "Draft tokens that were accepted.", lambda s: s.accepted_tokens),
    ("spec_decode_num_drafts_total", "Drafts that were verified.", lambda s: s.drafts),
)
CPP_GAUGES: tuple[tuple[str, str, Read], ...] = (
    ("n_tokens_max", "Most tokens that a sequence has held.", lambda s: s.tokens_max),
)
TOKENS_SECONDS = (
    ("prompt_tokens_seconds", "Average prompt throughput in tokens/s, since the last scrape."),
    ("predicted_tokens_seconds", "Average generation throughput in tokens/s, since the last scrape."),
)
ACCEPTED_AT = ("spec_decode_num_accepted_tokens_per_pos", "Accepted tokens for each position in a draft.")


def families(status: EngineStatus, rates: Rates) -> Iterator[Metric]:
    """Every metric that an EngineStatus tells of."""
    for prefix, counters, gauges in (
        ("llamabox", BOTH_COUNTERS + BOX_COUNTERS, BOTH_GAUGES + BOX_GAUGES),
        ("llamacpp", BOTH_COUNTERS + CPP_COUNTERS, BOTH_GAUGES + CPP_GAUGES),
    ):
        for name, about, read in counters:
            yield CounterMetricFamily(f"{prefix}:{name.removesuffix('_total')}", about, value=read(status))
        for name, about, read in gauges:
            yield GaugeMetricFamily(f"{prefix}:{name}", about, value=read(status))
        for (name, about), value in zip(TOKENS_SECONDS, (rates.prompt, rates.predicted), strict=True):
            yield GaugeMetricFamily(f"{prefix}:{name}", about, value=value)
    if status.accepted_by_position:
        family = CounterMetricFamily(f"llamacpp:{ACCEPTED_AT[0]}", ACCEPTED_AT[1], labels=["position"])
        for position, n in enumerate(status.accepted_by_position):
            family.add_metric([str(position)], n)
        yield family
