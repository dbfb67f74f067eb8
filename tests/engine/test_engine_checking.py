"""Requests that cannot be served: one typed error, which names the field."""

import math
from dataclasses import replace

import pytest

from llamabox.engine import ContextLengthError, GenerationRequest, RequestError, SamplingParams, SpeculativeParams
from llamabox.engine.checking import check_request

GOOD = GenerationRequest((1, 2, 3))


def test_defaults_are_good():
    check_request(GOOD, 10, 100)
    check_request(replace(GOOD, n_predict=-2, stop=("a",) * 64), 10, 4)


@pytest.mark.parametrize(
    "field, value",
    [
        ("prompt", ()),
        ("prompt", (1, 10)),
        ("prompt", (-1,)),
        ("prompt", (1.5,)),
        ("n_predict", -3),
        ("n_predict", 2**40),
        ("n_predict", 1.5),
        ("n_predict", True),
        ("stop", ("",)),
        ("stop", (3,)),
        ("stop", ("a" * 5000,)),
        ("stop", ("a",) * 65),
    ],
)
def test_fields_of_a_request(field, value):
    with pytest.raises(RequestError, match=f"{field}: found") as error:
        check_request(replace(GOOD, **{field: value}), 10, 100)
    assert error.value.param == field and len(str(error.value)) < 300


@pytest.mark.parametrize(
    "field, value",
    [
        ("n_max", -1),
        ("n_max", 1.5),
        ("n_max", True),
        ("n_min", -1),
        ("n_min", "1"),
        ("p_min", math.nan),
        ("p_min", 1.1),
    ],
)
def test_fields_of_speculation(field, value):
    with pytest.raises(RequestError, match=f"speculative.{field}: found") as error:
        check_request(replace(GOOD, speculative=SpeculativeParams(**{field: value})), 10, 100)
    assert error.value.param == f"speculative.{field}"


@pytest.mark.parametrize(
    "field, value",
    [
        *((name, bad) for name in ("temperature", "top_p", "min_p") for bad in (math.nan, math.inf, "1", None, True)),
        ("top_p", -0.1),
        ("min_p", -0.1),
        ("typical_p", -1.0),
        ("xtc_probability", -1.0),
        ("dynatemp_range", -0.5),
        ("repeat_penalty", 0.0),
        ("repeat_penalty", -1.0),
        ("presence_penalty", math.nan),
        ("dry_base", -1.0),
        ("dry_allowed_length", -1),
        ("dry_penalty_last_n", -2),
        ("repeat_last_n", -2),
        ("repeat_last_n", 1.5),
        ("top_k", 2.5),
        ("top_k", 10**30),
        ("mirostat", 3),
        ("mirostat", -1),
        ("seed", "x"),
        ("seed", 1.5),
        ("samplers", ("top_k", "nonsense")),
        ("dry_sequence_breakers", ("a",) * 65),
        ("logit_bias", ((10, 1.0),)),
        ("logit_bias", ((-1, 1.0),)),
        ("logit_bias", ((1, math.nan),)),
        ("logit_bias", ((1, math.inf),)),
        ("logit_bias", ((1, "x"),)),
    ],
)
def test_fields_of_sampling(field, value):
    with pytest.raises(RequestError, match=f"{field}: found") as error:
        check_request(replace(GOOD, sampling=SamplingParams(**{field: value})), 10, 100)
    assert error.value.param == field


@pytest.mark.parametrize(
    "field, value",
    [
        ("temperature", -1.0),  # greedy
        ("temperature", 0),
        ("top_k", -1),
        ("seed", -5),
        ("seed", 2**80),
        ("logit_bias", ((1, -math.inf), (1, 2))),
        ("samplers", ()),
    ],
)
def test_unusual_values_that_mean_something(field, value):
    check_request(replace(GOOD, sampling=SamplingParams(**{field: value})), 10, 100)


def test_a_prompt_must_leave_room_for_one_token():
    check_request(GOOD, 10, 4)
    with pytest.raises(ContextLengthError, match="3 tokens, the context of one sequence holds 3"):
        check_request(GOOD, 10, 3)
