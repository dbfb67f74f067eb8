"""What a request must satisfy before the engine takes it: numbers finite and in range, ids in the vocabulary."""

import math
from collections.abc import Sequence
from typing import Any

from llamabox.engine.request import (
    ContextLengthError,
    EmbeddingRequest,
    GenerationRequest,
    RequestError,
    SamplingParams,
    SpeculativeParams,
)
from llamabox.engine.sampling.names import NAMES
from llamabox.models import LoadedModel, ModelError
from llamabox.models.pooling import wanted_rows

MAX_TEXTS = 2048  # of one embedding request
MAX_VALUES = 1 << 24  # of all vectors of one request with pooling "none"
MAX_STOPS, MAX_STOP_LENGTH, MAX_BREAKERS = 64, 4096, 64
MAX_PROBS = 1000  # each is told with its text, for each token
INT32, INT64 = 2**31 - 1, 2**63 - 1

FLOATS = {  # field -> (least, most); None: unbounded
    "temperature": (None, None),
    "dynatemp_range": (0, None),
    "dynatemp_exponent": (0, None),
    "top_p": (0, None),
    "min_p": (0, None),
    "typical_p": (0, None),
    "top_n_sigma": (None, None),
    "xtc_probability": (0, None),
    "xtc_threshold": (0, None),
    "repeat_penalty": (1e-6, 1e6),
    "presence_penalty": (-1e6, 1e6),
    "frequency_penalty": (-1e6, 1e6),
    "dry_multiplier": (-1e6, 1e6),
    "dry_base": (0, 1e6),
    "mirostat_tau": (0, None),
    "mirostat_eta": (0, None),
}
INTS = {
    "top_k": (None, INT32),
    "repeat_last_n": (-1, INT32),
    "dry_allowed_length": (0, INT32),
    "dry_penalty_last_n": (-1, INT32),
    "mirostat": (0, 2),
    "min_keep": (0, INT32),
}


def check_request(request: GenerationRequest, n_vocab: int, n_seq: int) -> None:
    """n_seq: tokens that one sequence may hold.

    Errors:  ContextLengthError when the prompt does not fit; RequestError names any other field that is wrong
    """
    if len(request.prompt) == 0:
        raise RequestError("prompt: found no tokens, expected at least one", "prompt")
    _check_ids("prompt", request.prompt, n_vocab)
    if len(request.prompt) >= n_seq:
        raise ContextLengthError(len(request.prompt), n_seq)
    _check_number("n_predict", request.n_predict, -2, INT32, int)
    _check_number("id_slot", request.id_slot, -1, INT32, int)
    _check_number("n_keep", request.n_keep, -1, INT32, int)
    _check_number("n_discard", request.n_discard, 0, INT32, int)
    _check_number("n_cache_reuse", request.n_cache_reuse, 0, INT32, int)
    if request.tokens_per_second is not None:
        _check_number("tokens_per_second", request.tokens_per_second, 1e-3, None, (int, float))
    if len(request.stop) > MAX_STOPS:
        raise RequestError(f"stop: found {len(request.stop)} texts, expected at most {MAX_STOPS}", "stop")
    for stop in request.stop:
        if not isinstance(stop, str) or not 0 < len(stop) <= MAX_STOP_LENGTH:
            raise RequestError(f"stop: found {stop!r:.80}, expected texts of 1 to {MAX_STOP_LENGTH} characters", "stop")
    _check_number("n_indent", request.n_indent, 0, INT32, int)
    _check_number("t_max_predict_ms", request.t_max_predict_ms, -1, INT64, int)
    check_probs(request)
    check_sampling(request.sampling, n_vocab)
    check_speculative(request.speculative)


def check_probs(request: GenerationRequest) -> None:
    """As check_sampling."""
    if request.n_probs is not None:
        _check_number("n_probs", request.n_probs, 0, MAX_PROBS, int)
    if request.prompt_logprobs and (request.n_probs is None or request.cache_prompt):
        raise RequestError("prompt_logprobs: expected n_probs, and no cache_prompt, beside it", "prompt_logprobs")


def check_speculative(params: SpeculativeParams) -> None:
    """As check_sampling."""
    bounds = {"n_max": (0, INT32, int), "n_min": (0, INT32, int), "p_min": (0, 1, (int, float))}
    for name, (least, most, types) in bounds.items():
        if getattr(params, name) is not None:
            _check_number(f"speculative.{name}", getattr(params, name), least, most, types)


def check_sampling(params: SamplingParams, n_vocab: int) -> None:
    """RequestError names the field, the value found and the value expected."""
    for name, (least, most) in FLOATS.items():
        _check_number(name, getattr(params, name), least, most, (int, float))
    for name, (least, most) in INTS.items():
        _check_number(name, getattr(params, name), least, most, int)
    if params.seed is not None:
        _check_number("seed", params.seed, None, None, int)
    for name in params.samplers:
        if name not in NAMES:
            raise RequestError(f"samplers: found {name!r}, expected names from {', '.join(sorted(NAMES))}", "samplers")
    if len(params.dry_sequence_breakers) > MAX_BREAKERS:
        raise RequestError(
            f"dry_sequence_breakers: found {len(params.dry_sequence_breakers)}, expected at most {MAX_BREAKERS}",
            "dry_sequence_breakers",
        )
    _check_ids("logit_bias", [id for id, _ in params.logit_bias], n_vocab)
    for _, bias in params.logit_bias:
        if not isinstance(bias, (int, float)) or math.isnan(bias) or bias == math.inf:
            raise RequestError(f"logit_bias: found {bias!r}, expected a finite number, or -inf to ban", "logit_bias")


def check_embedding(request: EmbeddingRequest, model: LoadedModel, most: int) -> None:
    """most: tokens of a text.

    Errors:  RequestError names the text by its index
    """
    if len(request.texts) == 0 or len(request.texts) > MAX_TEXTS:
        raise RequestError(f"{request.name}: found {len(request.texts)} texts, expected 1 to {MAX_TEXTS}", request.name)
    try:
        wanted_rows(model, request.pooling)
    except ModelError as error:
        raise RequestError(str(error), "pooling") from None
    for i, text in enumerate(request.texts):
        name = f"{request.name}[{i}]"
        if len(text) == 0:
            raise RequestError(f"{name}: found no tokens, expected at least one", name)
        if len(text) > most:
            raise RequestError(
                f"{name}: found {len(text)} tokens, which is too large: expected at most {most} (-ub, -b and the "
                "context of one sequence bound a text)",
                name,
            )
        _check_ids(name, text, model.config.n_vocab)
    n_values = sum(map(len, request.texts)) * model.config.n_embd
    if request.pooling == "none" and n_values > MAX_VALUES:
        found = f"found {n_values} values in all without pooling"
        raise RequestError(f"{request.name}: {found}, expected at most {MAX_VALUES}", request.name)


def _check_ids(name: str, ids: Sequence[int], n_vocab: int) -> None:
    for id in ids:
        if not isinstance(id, int) or not 0 <= id < n_vocab:
            raise RequestError(f"{name}: found token id {id!r}, expected ids from 0 to {n_vocab - 1}", name)


def _check_number(name: str, value: Any, least: float | None, most: float | None, types: type | tuple) -> None:
    if isinstance(value, bool) or not isinstance(value, types):
        raise RequestError(
            f"{name}: found {value!r:.80}, expected {'an integer' if types is int else 'a number'}", name
        )
    number: Any = value
    too_small = least is not None and number < least
    if too_small or (most is not None and number > most) or (isinstance(number, float) and not math.isfinite(number)):
        low, high = "" if least is None else f" from {least}", "" if most is None else f" to {most}"
        raise RequestError(f"{name}: found {value!r:.80}, expected a finite number{low}{high}", name)
