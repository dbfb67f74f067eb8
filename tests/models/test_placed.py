"""Models whose layers are on several devices give the bits of one device, and hidden states cross only at borders."""

import gc
import sys
import weakref
from pathlib import Path

import logits
import numpy as np
import pytest

from llamabox.gguf import open_gguf
from llamabox.kernels import Ops, Rows, Threads, make_step
from llamabox.kernels.assignment import DENSE, EXPERTS, Placement, cpu_layers, make_plan
from llamabox.kernels.devices import Device
from llamabox.kernels.ops_cpu import CpuOps
from llamabox.kernels.placed import PlacedOps
from llamabox.models import load_model
from llamabox.models.pooling import pool

sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels"))
from fenced import FencedOps  # noqa: E402

GPUS = [Device(f"GPU{i}", "cpu", "stands for a GPU", 8 << 30, 8 << 30) for i in range(2)]
PLACEMENTS = {
    "layer": Placement(),
    "layer, uneven": Placement(tensor_split=(1, 3)),
    "layer, part on the host": Placement(gpu_layers=2),
    "none, the second": Placement(split_mode="none", main_gpu=1, gpu_layers=2),
    "row": Placement(split_mode="row"),
    "row, uneven": Placement(split_mode="row", tensor_split=(3, 1), main_gpu=1),
    "row, part on the host": Placement(split_mode="row", gpu_layers=2),
    "no KV offload": Placement(tensor_split=(1, 3), kv_offload=False),
    "networks on the host": Placement(overrides=(*cpu_layers(EXPERTS), *cpu_layers(DENSE, 1))),
    "one tensor apart": Placement(overrides=((r"blk\.0\.attn_(v|output_norm|norm)", "GPU1"),)),
}
DECODERS = ("llama", "qwen2-q8-0", "gemma3-q4-0", "llama-moe", "granite-moe", "mistral3", "command-r", "phi3")
DECODERS += ("llama-tied", "llama-rope-freqs", "phi3-longrope", "llama-nvfp4", "qwen3moe-q4-0")
ENCODERS = ("bert", "jina-bert-v2-code", "nomic-bert-moe", "modern-bert", "gemma-embedding")
PROMPTS = (range(3, 43), [77, 5, 9], range(60, 80))


def placed(path, wanted, kind=CpuOps):
    """The model over a host and two fenced devices."""
    file = open_gguf(path)
    n_layer = file.metadata[f"{file.metadata['general.architecture']}.block_count"]
    plan = make_plan(n_layer, wanted, GPUS)
    backends = {name: FencedOps(name, kind) for name in plan.devices}
    return load_model(file, PlacedOps(plan, backends)), backends


def whole(path, kind=CpuOps):
    return load_model(open_gguf(path), kind(Threads(1)))


def passes(model):
    """A ragged prefill, a decode step of all, and a prefill beside decodes."""
    cache = model.ops.kv_cache(model.config.kv_shapes(), 6)
    tables = ([4, 1], [3], [0])
    tokens = np.concatenate([np.array(p, np.int32) % model.config.n_vocab for p in PROMPTS])
    starts = [0, 0, 0]
    outs = []
    for counts in ((40, 3, 20), (1, 1, 1), (7, 1, 1)):
        parts = [Rows(s, n, t, "all") for s, n, t in zip(starts, counts, tables, strict=True)]
        starts = [s + n for s, n in zip(starts, counts, strict=True)]
        outs.append(model.ops.to_numpy(model.forward(tokens[: sum(counts)], make_step(parts, cache))))
    return outs, cache


@pytest.mark.parametrize("wanted", PLACEMENTS)
@pytest.mark.parametrize("name", DECODERS)
def test_logits_are_those_of_one_device(open_case, name, wanted):
    path = open_case(name).path
    expected, _ = passes(whole(path))
    found, _ = passes(placed(path, PLACEMENTS[wanted])[0])
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(b, a)


@pytest.mark.parametrize("wanted", PLACEMENTS)
@pytest.mark.parametrize("name", ENCODERS)
def test_hidden_states_are_those_of_one_device(open_case, name, wanted):
    path = open_case(name).path
    one, (several, _) = whole(path), placed(path, PLACEMENTS[wanted])
    tokens = np.concatenate([np.array(p, np.int32) % one.config.n_vocab for p in PROMPTS])
    step = make_step([Rows(0, len(p), (), "all") for p in PROMPTS], None, causal=False)
    expected, found = (m.ops.to_numpy(m.hidden(tokens, step)) for m in (one, several))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("wanted", [w for w in PLACEMENTS if not w.startswith("row")])
def test_on_numpy(open_case, wanted):
    path = open_case("qwen3").path
    expected, _ = passes(whole(path, Ops))
    found, _ = passes(placed(path, PLACEMENTS[wanted], Ops)[0])
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(b, a)


def test_a_border_is_crossed_once(open_case):
    """Between two layers on different devices a step moves the hidden state, and the angles that the layers turn by."""
    model, backends = placed(open_case("llama").path, Placement(tensor_split=(1, 2)))
    assert model.ops.plan.layers == ("GPU0", "GPU1")
    cache = model.ops.kv_cache(model.config.kv_shapes(), 1)
    before = {name: ops.moved for name, ops in backends.items()}
    model.forward(np.arange(4, dtype=np.int32), make_step([Rows(0, 4, (0,), "last")], cache))
    moved = {name: ops.moved - before[name] for name, ops in backends.items()}
    assert moved == {"CPU": 0, "GPU0": 3, "GPU1": 3}  # x, cos, sin


def test_keys_and_values_live_where_their_layer_is(open_case):
    path = open_case("llama").path
    for wanted, devices in (
        (Placement(tensor_split=(1, 1)), None),
        (Placement(kv_offload=False), {"CPU"}),
        (Placement(split_mode="row", main_gpu=1), {"GPU1"}),
    ):
        model, _ = placed(path, wanted)
        (_, one), (_, cache) = passes(whole(path)), passes(model)
        assert [x.site.name for x in cache.k] == list(model.ops.plan.kv)
        assert devices is None or {x.site.name for x in cache.k + cache.v} == devices
        assert cache.size_bytes == one.size_bytes
        for a, b in zip(cache.k + cache.v, one.k + one.v, strict=True):
            np.testing.assert_array_equal(model.ops.to_numpy(a), b)
        cache.copy_block(4, 5)
        one.copy_block(4, 5)
        np.testing.assert_array_equal(model.ops.to_numpy(cache.v[-1]), one.v[-1])


def test_a_cache_goes_at_once_though_its_model_stays(open_case):
    model, _ = placed(open_case("llama").path, Placement(tensor_split=(1, 2)))
    gc.collect()
    gc.disable()
    try:
        _, cache = passes(model)
        caches = [weakref.ref(x) for x in (cache, *cache.caches.values())]
        assert len(caches) == 3
        del cache
        assert all(x() is None for x in caches)
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["llama", "gemma3-q4-0", "llama-rope-freqs"])
def test_cells_move_as_on_one_device(open_case, name):
    path = open_case(name).path
    caches = []
    for model in (whole(path), placed(path, Placement(tensor_split=(1, 3)))[0]):
        _, cache = passes(model)
        model.ops.move_cells(cache, [128, 129, 135], [96, 97, 98], [-3, -3, 0], model.key_ropes)
        caches.append([model.ops.to_numpy(a) for a in cache.k + cache.v])
    for a, b in zip(*caches, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("wanted", PLACEMENTS)
@pytest.mark.parametrize("name", [name for name in logits.case_names() if name.endswith("-rank") or "rerank" in name])
def test_scores_are_those_of_one_device(open_case, name, wanted):
    case = open_case(name)
    scores = []
    for model in (whole(case.path), placed(case.path, PLACEMENTS[wanted])[0]):
        step = make_step([Rows(0, len(case.tokens), (), "all")], None, causal=model.causal)
        scores.append(pool(model, model.hidden(case.tokens, step), "rank"))
    assert len(scores[0]) > 0
    np.testing.assert_array_equal(scores[1], scores[0])
