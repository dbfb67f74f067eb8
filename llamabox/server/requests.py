"""From a checked body to the engine's requests: defaults filled in, and fields of later releases refused by name."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from secrets import randbits
from typing import Any

import msgspec

from llamabox.engine import GenerationRequest, SamplingParams, SpeculativeParams
from llamabox.engine.sampling import sampler_letters, sampler_names
from llamabox.server.errors import BadRequest, NotSupported
from llamabox.server.schemas import OpenAIFields, SamplingFields

MAX_STOPS, MAX_STOP_LENGTH, MAX_BIASES, MAX_BREAKERS = 16, 1024, 1024, 64
_LATER = ("grammar", "json_schema", "lora", "echo", "suffix", "top_logprobs", "chat_template")
_NEUTRAL = (None, False, 0, "", [], {})
_SAMPLING = [f.name for f in fields(SamplingParams) if f.name not in ("seed", "samplers", "logit_bias")]


@dataclass(frozen=True)
class Defaults:
    """What a request that names no value gets: the command line's."""

    sampling: SamplingParams
    n_predict: int = -1
    special: bool = False
    cache_prompt: bool = True


def generation_requests(
    body: SamplingFields, prompt: Sequence[int], defaults: Defaults, tokenizer: Any, request_id: str
) -> list[GenerationRequest]:
    """One engine request a choice; choice i samples with seed + i.

    Errors:  BadRequest and NotSupported, naming the field
    """
    refuse_later(body)
    sampling = sampling_params(body, defaults.sampling, tokenizer)
    n = body.n if isinstance(body, OpenAIFields) and body.n is not None else 1
    if n > 1 and sampling.seed is None:
        sampling = replace(sampling, seed=randbits(31))
    request = GenerationRequest(
        prompt=tuple(prompt),
        sampling=sampling,
        n_predict=_n_predict(body, defaults.n_predict),
        stop=_stops(body.stop),
        ignore_eos=body.ignore_eos is True,
        special=defaults.special,
        cache_prompt=defaults.cache_prompt if body.cache_prompt is None else body.cache_prompt,
        request_id=request_id,
        speculative=SpeculativeParams(body.speculative_n_max, body.speculative_n_min, body.speculative_p_min),
    )
    seed = sampling.seed
    return [request] + [replace(request, sampling=replace(sampling, seed=seed + i)) for i in range(1, n)]


def refuse_later(body: msgspec.Struct) -> None:
    """Fields that change the answer and that no code here honours yet must not be dropped in silence."""
    for name in _LATER:
        if getattr(body, name, None) not in _NEUTRAL:
            raise NotSupported(f"{name} is not supported in this version of llamabox", name)
    for name in ("logprobs", "n_probs"):
        if getattr(body, name, None) not in (None, False):
            raise NotSupported(f"{name} is not supported in this version of llamabox", name)
    best_of, n = getattr(body, "best_of", None), getattr(body, "n", None)
    if best_of not in (None, 1, n):
        raise NotSupported("best_of is not supported in this version of llamabox", "best_of")
    response_format = getattr(body, "response_format", None)
    if response_format is not None and response_format.get("type", "text") != "text":
        raise NotSupported("response_format other than text is not supported in this version", "response_format")


def sampling_params(body: SamplingFields, defaults: SamplingParams, tokenizer: Any) -> SamplingParams:
    """The request's sampling: its own values over the defaults."""
    values: dict[str, Any] = {}
    for name in _SAMPLING:
        value = getattr(body, name)
        if value is not None:
            values[name] = value
    if body.dry_sequence_breakers is not None:
        values["dry_sequence_breakers"] = _texts(body.dry_sequence_breakers, "dry_sequence_breakers", MAX_BREAKERS)
    if body.seed is not None:
        values["seed"] = None if body.seed == -1 else body.seed
    if body.samplers is not None:
        values["samplers"] = _samplers(body.samplers)
    if body.logit_bias is not None:
        values["logit_bias"] = defaults.logit_bias + _logit_bias(body.logit_bias, tokenizer)
    return replace(defaults, **values)


def _n_predict(body: SamplingFields, default: int) -> int:
    for name in ("max_completion_tokens", "max_tokens", "n_predict"):
        value = getattr(body, name, None)
        if value is not None:
            return value
    return default


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    return _texts([stop] if isinstance(stop, str) else stop, "stop", MAX_STOPS)


def _texts(items: list[str], name: str, most: int) -> tuple[str, ...]:
    if len(items) > most:
        raise BadRequest(f"{name}: found {len(items)} texts, expected at most {most}", name)
    for item in items:
        if len(item) > MAX_STOP_LENGTH:
            raise BadRequest(f"{name}: found a text of {len(item)} characters, expected {MAX_STOP_LENGTH}", name)
    return tuple(item for item in items if item != "")


def _samplers(value: list[str] | str) -> tuple[str, ...]:
    """Names in their order, or a text of their letters, as llama-server takes them."""
    return sampler_letters(value) if isinstance(value, str) else sampler_names(value)


def _logit_bias(value: dict | list, tokenizer: Any) -> tuple[tuple[int, float], ...]:
    """{"id": bias} or [[id or text, bias], ...]; a bias of false bans the token; a text stands for its tokens."""
    pairs = list(value.items()) if isinstance(value, dict) else value
    if len(pairs) > MAX_BIASES:
        raise BadRequest(f"logit_bias: found {len(pairs)} entries, expected at most {MAX_BIASES}", "logit_bias")
    result = []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise BadRequest(f"logit_bias: found {pair!r}, expected [token, bias]", "logit_bias")
        bias = _bias(pair[1])
        result += [(token, bias) for token in _bias_tokens(pair[0], tokenizer, from_object=isinstance(value, dict))]
    return tuple(result)


def _bias(value: Any) -> float:
    if value is False:
        return float("-inf")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e9:
        raise BadRequest(f"logit_bias: found {value!r}, expected a number or false", "logit_bias")
    return float(value)


def _bias_tokens(key: Any, tokenizer: Any, from_object: bool) -> list[int]:
    if from_object and key.isdecimal():
        key = int(key[:12])
    if isinstance(key, str) and tokenizer is not None:
        return tokenizer.encode(key, add_special=False)
    if isinstance(key, bool) or not isinstance(key, int):
        raise BadRequest(f"logit_bias: found token {key!r}, expected an id or a text", "logit_bias")
    n_vocab = tokenizer.n_vocab if tokenizer is not None else key + 1
    if not 0 <= key < n_vocab:
        raise BadRequest(f"logit_bias: found token {key}, expected 0 to {n_vocab - 1}", "logit_bias")
    return [key]
