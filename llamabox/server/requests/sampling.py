"""The sampling fields of a body over the defaults -> SamplingParams."""

from dataclasses import fields, replace
from typing import Any

from llamabox.engine import SamplingParams
from llamabox.engine.sampling import sampler_letters, sampler_names
from llamabox.server.requests.logit_bias import logit_bias_pairs
from llamabox.server.requests.texts import MAX_BREAKERS, texts
from llamabox.server.schemas import SamplingFields

_SAMPLING = [f.name for f in fields(SamplingParams) if f.name not in ("seed", "samplers", "logit_bias")]


def sampling_params(body: SamplingFields, defaults: SamplingParams, tokenizer: Any) -> SamplingParams:
    """The request's sampling: its own values over the defaults."""
    values: dict[str, Any] = {}
    for name in _SAMPLING:
        value = getattr(body, name)
        if value is not None:
            values[name] = value
    if body.dry_sequence_breakers is not None:
        values["dry_sequence_breakers"] = texts(body.dry_sequence_breakers, "dry_sequence_breakers", MAX_BREAKERS)
    if body.seed is not None:
        values["seed"] = None if body.seed == -1 else body.seed
    if body.samplers is not None:
        values["samplers"] = _samplers(body.samplers)
    if body.logit_bias is not None:
        values["logit_bias"] = defaults.logit_bias + logit_bias_pairs(body.logit_bias, tokenizer)
    return replace(defaults, **values)


def _samplers(value: list[str] | str) -> tuple[str, ...]:
    """Names in their order, or a text of their letters, as llama-server takes them."""
    return sampler_letters(value) if isinstance(value, str) else sampler_names(value)
