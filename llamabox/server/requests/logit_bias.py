"""logit_bias in all its forms -> (token id, bias) pairs."""

from typing import Any

from llamabox.server.errors import BadRequest

MAX_BIASES = 1024


def logit_bias_pairs(value: dict | list, tokenizer: Any) -> tuple[tuple[int, float], ...]:
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
