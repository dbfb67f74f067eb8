"""Every architecture on every backend against llama.cpp's stored outputs, and single steps against a batch."""

import logits
import pytest
from on_backends import EVERY


@pytest.mark.parametrize("backend", EVERY)
@pytest.mark.parametrize("name", logits.case_names())
def test_model_equals_llama_cpp(open_case, name, backend):
    case = open_case(name)
    found = logits.measure(case, backend)
    assert found["batch"] <= case.bound, f"NMSE of the whole sequence at once: {found['batch']:.2e}"
    assert found["steps"] <= case.bound, f"NMSE of {logits.N_BATCH} tokens, then single steps: {found['steps']:.2e}"
    assert found["steps_against_batch"] <= case.self_bound, f"one way against the other: {found}"


def test_every_architecture_has_a_case(open_case):
    archs = {open_case(name).arch for name in logits.case_names()}
    assert archs == set(logits.ARCHITECTURES)
