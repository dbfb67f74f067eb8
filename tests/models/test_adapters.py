"""LoRA adapters and control vectors against llama.cpp's stored logits; sequences of one batch against each alone."""

import adapters
import numpy as np
import pytest
from logits import nmse
from on_backends import PRESENT

import llamabox
from llamabox.kernels import Rows, make_step

F32 = {"cache_type_k": "f32", "cache_type_v": "f32", "threads": 1, "n_ctx": 256}


@pytest.fixture(scope="module")
def stored():
    with np.load(adapters.STORED) as file:
        return dict(file)


def load(case, folder, backend):
    path, loras, controls = adapters.make(case, folder)
    how = {"lora": loras, "control_vectors": controls, "control_vector_layers": case.layers}
    return llamabox.load(path, backend=backend, **F32, **how)


@pytest.mark.parametrize("backend", PRESENT)
@pytest.mark.parametrize("name", adapters.CASES)
def test_logits_are_llama_cpp_s(stored, tmp_path, name, backend):
    error = nmse(stored[name], adapters.ours(name, tmp_path, backend))
    bound = adapters.bound(name, stored)
    assert error <= bound, f"NMSE {error:.2e}, bound {bound:.2e}"


def test_what_is_stored_is_what_is_tested(stored):
    assert {name for name in stored if "/" not in name} - {"provenance"} == set(adapters.CASES)


@pytest.mark.parametrize("backend", PRESENT)
@pytest.mark.parametrize("name", ["llama-two", "llama-moe"])
def test_sequences_with_different_adapters_share_a_batch(tmp_path, name, backend):
    """Rows of four sequences, decode and prefill: each gets its own adapters, and the bare one none."""
    case = adapters.CASES[name]
    loaded = load(case, tmp_path, backend).model
    sets = [((0, 1.0),), (), ((0, -0.5), (len(case.loras) - 1, 2.0))[: len(case.loras)], ((0, 0.25),)]
    texts = [np.array(adapters.TOKENS[i : i + n], np.int32) for i, n in enumerate((5, 1, 7, 1))]

    def run(chosen):
        cache = loaded.ops.kv_cache(loaded.config.kv_shapes(), 4, "f32", "f32")
        rows = [Rows(0, len(texts[i]), (i,), "all" if i == 2 else "last") for i in chosen]
        step = make_step(rows, cache)
        return loaded.forward(np.concatenate([texts[i] for i in chosen]), step, [sets[i] for i in chosen])

    together = run(range(4))
    apart = np.concatenate([run([i]) for i in range(4)])
    assert together.shape == (10, 128)
    assert np.array_equal(together, apart) if backend == "cpu" else np.allclose(together, apart, atol=1e-5)
    sets = [()] * 4
    bare = run(range(4))
    assert np.allclose(together[1], bare[1], atol=1e-5)
    assert nmse(bare[0], together[0]) > 1e-3 and nmse(bare[9], together[9]) > 1e-3


def test_a_bare_model_runs_on_its_backend_itself(tmp_path):
    loaded = load(adapters.CASES["llama"], tmp_path, "numpy").model
    step = make_step([Rows(0, 2), Rows(0, 1)], None)
    assert loaded._ops(step, ()) is loaded.ops and loaded._ops(step, ((), ())) is loaded.ops
    assert loaded._ops(step, ((), ((0, 1.0),))) is not loaded.ops
