"""A checked body -> the engine's requests, one for each choice."""

from collections.abc import Sequence
from dataclasses import replace
from secrets import randbits
from typing import Any

from llamabox.engine import GenerationRequest, SpeculativeParams
from llamabox.server.requests.defaults import Defaults
from llamabox.server.requests.grammar import response_grammar
from llamabox.server.requests.later import refuse_later
from llamabox.server.requests.sampling import sampling_params
from llamabox.server.requests.texts import stops
from llamabox.server.schemas import OpenAIFields, SamplingFields


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
        stop=defaults.stop if body.stop is None else stops(body.stop),
        ignore_eos=defaults.ignore_eos if body.ignore_eos is None else body.ignore_eos,
        special=defaults.special,
        cache_prompt=defaults.cache_prompt if body.cache_prompt is None else body.cache_prompt,
        grammar=response_grammar(body, defaults.grammar),
        lora=_lora(body),
        request_id=request_id,
        speculative=_speculative(body, defaults.speculative),
    )
    seed = sampling.seed
    return [request] + [replace(request, sampling=replace(sampling, seed=seed + i)) for i in range(1, n)]


def _lora(body: SamplingFields) -> tuple[tuple[int, float], ...] | None:
    """The adapters of this request alone; an empty list, as in llama-server, is as if it were absent."""
    return tuple((item.id, item.scale) for item in body.lora) if body.lora else None


def _speculative(body: SamplingFields, defaults: SpeculativeParams) -> SpeculativeParams:
    own = {name: getattr(body, f"speculative_{name}") for name in ("n_max", "n_min", "p_min")}
    return replace(defaults, **{name: value for name, value in own.items() if value is not None})


def _n_predict(body: SamplingFields, default: int) -> int:
    for name in ("max_completion_tokens", "max_tokens", "n_predict"):
        value = getattr(body, name, None)
        if value is not None:
            return value
    return default
