"""The engine on a model whose layers are on a host and two devices that stand for GPUs: everything as on one device."""

import sys
from pathlib import Path

import numpy as np
import pytest

from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, SamplingParams, SpeculationOptions
from llamabox.gguf import open_gguf
from llamabox.kernels import Placement, Rows, Threads, make_step
from llamabox.kernels.assignment import make_plan
from llamabox.kernels.devices import Device
from llamabox.kernels.ops_cpu import CpuOps
from llamabox.kernels.placed import PlacedOps
from llamabox.models import load_model

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "conformance"), str(ROOT / "tests" / "kernels")]
import adapters  # noqa: E402
import logits  # noqa: E402
from fenced import FencedOps  # noqa: E402

GPUS = [Device(f"GPU{i}", "cpu", "stands for a GPU", 8 << 30, 8 << 30) for i in range(2)]
PROMPTS = [[(5 * i + 3 * j * j) % 120 for j in range(n)] for i, n in enumerate((3, 17, 40, 64))]
PLACEMENTS = {
    "layers": Placement(tensor_split=(1, 2)),
    "rows": Placement(split_mode="row", tensor_split=(3, 1), main_gpu=1, gpu_layers=2),
    "no KV offload": Placement(gpu_layers=2, kv_offload=False),
}


def placed(path, wanted):
    file = open_gguf(path)
    n_layer = file.metadata[f"{file.metadata['general.architecture']}.block_count"]
    plan = make_plan(n_layer, wanted, GPUS)
    return load_model(file, PlacedOps(plan, {name: FencedOps(name) for name in plan.devices}))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return logits.open_case("llama", tmp_path_factory.mktemp("archs")).path


@pytest.fixture(scope="module")
def one(path):
    return load_model(open_gguf(path), CpuOps(Threads(1)))


@pytest.fixture(scope="module", params=PLACEMENTS)
def several(request, path):
    return placed(path, PLACEMENTS[request.param])


def make(model, speculation=None, **options):
    return Engine(model, None, EngineOptions(**{"n_ctx": 1024, "n_parallel": 4, **options}), speculation)


def submit(engine, *prompts, **more):
    request = {"sampling": SamplingParams(temperature=0.0), "n_predict": 20, **more}
    return [engine.submit(GenerationRequest(tuple(p), **request)) for p in prompts]


def answer(engine, generation):
    """-> its tokens, and how many of the prompt's were cached"""
    tokens = []
    while not isinstance(event := generation.next_event(0), FinishEvent):
        if event is None:
            engine.step()
        else:
            tokens += getattr(event, "tokens", ())
    return tokens, event.timings.n_cached


def answers(engine, *prompts, **more):
    return [answer(engine, generation) for generation in submit(engine, *prompts, **more)]


SAMPLED = SamplingParams(seed=3, top_k=5, temperature=1.5, min_p=0.0, top_p=1.0)


@pytest.mark.parametrize("params", [SamplingParams(temperature=0.0), SAMPLED], ids=["greedy", "top_k"])
def test_the_largest_logits_alone_come_from_the_device_that_has_them(one, path, params):
    device = FencedOps("GPU0")
    device.picks = 64
    device.enter()
    alone, split = load_model(open_gguf(path), device), placed(path, Placement(tensor_split=(1, 2)))
    last = split.ops.sites["GPU1"].ops
    last.picks = 64
    assert split.ops.picks == 64
    expected = answers(make(one), *PROMPTS[1:3], sampling=params)
    for model, ops in ((alone, device), (split, last)):
        before = ops.fetched
        assert answers(make(model), *PROMPTS[1:3], sampling=params) == expected
        assert ops.fetched - before == 2 * 20 * 8 * (1 if params.temperature == 0 else 5)


def test_several_sequences_and_what_is_reused(one, several):
    expected = answers(make(one), *PROMPTS)
    engine = make(several)
    assert answers(engine, *PROMPTS) == expected
    again = answers(engine, *PROMPTS)
    assert [tokens for tokens, _ in again] == [tokens for tokens, _ in expected]
    assert [n for _, n in again] == [len(p) - 1 for p in PROMPTS]
    parted = [[*PROMPTS[3][:45], 7, 8, 9]]  # the block in which they part is copied
    assert answers(engine, *parted) == answers(_warm(one), *parted)
    assert answers(make(several, n_ubatch=7), *PROMPTS) == expected


def _warm(model):
    engine = make(model)
    for _ in range(2):
        answers(engine, *PROMPTS)
    return engine


def test_one_is_cancelled_and_the_others_go_on(one, several):
    expected = answers(make(one), *PROMPTS)
    engine = make(several)
    generations = submit(engine, *PROMPTS)
    for _ in range(6):
        engine.step()
    generations[1].cancel()
    found = [answer(engine, generation) for i, generation in enumerate(generations) if i != 1]
    assert found == [a for i, a in enumerate(expected) if i != 1]
    assert engine.status().kv_used == 0
    tokens, n_cached = answers(engine, PROMPTS[1])[0]
    assert tokens == expected[1][0] and n_cached > 0


def test_a_full_context_is_shifted(one, several):
    how = {"n_ctx": 64, "n_parallel": 1, "context_shift": True}
    found = [answers(make(model, **how), PROMPTS[2], n_predict=90)[0][0] for model in (one, several)]
    assert len(found[0]) == 90 and found[1] == found[0]


def done(engine, future):
    engine.step()
    return future.result(0)


def test_a_slot_is_saved_here_and_restored_there(one, several):
    engines = [make(one), make(several)]
    for engine in engines:
        answers(engine, PROMPTS[3], id_slot=0)
    assert engines[0].slot_layout == engines[1].slot_layout
    state, from_several = (done(engine, engine.save_slot(0)) for engine in engines)
    assert len(state.tokens) > len(PROMPTS[3]) and from_several.tokens == state.tokens
    for a, b in zip(state.arrays, from_several.arrays, strict=True):
        np.testing.assert_array_equal(b, a)
    texts = []
    for model, saved in ((one, from_several), (several, state)):
        engine = make(model)
        done(engine, engine.restore_slot(2, saved))
        texts.append(answers(engine, [*PROMPTS[3], *PROMPTS[0]])[0])
    assert texts[0] == texts[1] and texts[0][1] >= len(PROMPTS[3])


def test_drafts_of_a_placed_model(one, several):
    drafts = [SpeculationOptions(n_min=0, p_min=0.0, model=model) for model in (one, several)]
    expected = answers(make(one), *PROMPTS)
    for model, draft in ((one, drafts[1]), (several, drafts[0]), (several, drafts[1])):
        engine = make(model, draft)
        assert answers(engine, *PROMPTS) == expected
        assert engine.status().accepted_tokens > 0


@pytest.mark.parametrize("name", ["llama-two", "llama-moe", "llama-control"])
@pytest.mark.parametrize("wanted", PLACEMENTS)
def test_adapters_and_control_vectors(tmp_path, name, wanted):
    case = adapters.CASES[name]
    path, loras, controls = adapters.make(case, tmp_path)
    outs = []
    for model in (load_model(open_gguf(path), CpuOps(Threads(1))), placed(path, PLACEMENTS[wanted])):
        opened = [(open_gguf(file), scale) for file, scale in controls]
        model = model.with_adapters([open_gguf(file) for file, _ in loras], opened, case.layers)
        sets = [((0, 1.0),) if loras else (), tuple((i, 0.5 + i) for i in range(len(loras))), ()]
        outs.append(_mixed(model, sets))
    np.testing.assert_array_equal(outs[1], outs[0])


def _mixed(model, sets):
    """Logits of one batch whose sequences have different adapters."""
    cache = model.ops.kv_cache(model.config.kv_shapes(), 3)
    step = make_step([Rows(0, 9, (i,), "all") for i in range(3)], cache)
    return model.ops.to_numpy(model.forward(np.arange(27, dtype=np.int32), step, sets))
