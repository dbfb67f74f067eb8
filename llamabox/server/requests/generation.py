"""A checked body -> the engine's requests, one for each choice."""

from collections.abc import Sequence
from dataclasses import replace
from secrets import randbits
from typing import Any

from llamabox.engine import GenerationRequest, SpeculativeParams
from llamabox.server.requests.defaults import Defaults
from llamabox.server.requests.grammar import response_grammar
from llamabox.server.requests.probs import wanted_probs
from llamabox.server.requests.sampling import sampling_params
from llamabox.server.requests.texts import stops
from llamabox.server.schemas import SamplingFields


def generation_requests(
    body: SamplingFields, prompt: Sequence[int], defaults: Defaults, tokenizer: Any, request_id: str
) -> list[GenerationRequest]:
    """One engine request a choice; choice i samples with seed + i.

    Errors:  BadRequest and NotSupported, naming the field
    """
    sampling = sampling_params(body, defaults.sampling, tokenizer)
    n, n_probs = choices_of(body), wanted_probs(body)
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
        n_probs=n_probs,
        post_sampling_probs=body.post_sampling_probs is True,
        return_progress=body.return_progress is True and body.stream is True,
        timings_per_token=body.timings_per_token is True,
        n_indent=0 if body.n_indent is None else body.n_indent,
        t_max_predict_ms=0 if body.t_max_predict_ms is None else body.t_max_predict_ms,
        id_slot=-1 if body.id_slot is None else body.id_slot,
        n_keep=defaults.n_keep if body.n_keep is None else body.n_keep,
        n_discard=0 if body.n_discard is None else body.n_discard,
        n_cache_reuse=defaults.n_cache_reuse if body.n_cache_reuse is None else body.n_cache_reuse,
        lora=_lora(body),
        request_id=request_id,
        speculative=_speculative(body, defaults.speculative),
    )
    seed = sampling.seed
    return [request] + [replace(request, sampling=replace(sampling, seed=seed + i)) for i in range(1, n)]


def choices_of(body: SamplingFields) -> int:
    """How many answers to each prompt are made: n of them are told, or with best_of fewer."""
    for name in ("best_of", "n", "n_cmpl"):
        value = getattr(body, name, None)
        if value is not None:
            return value
    return 1


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
