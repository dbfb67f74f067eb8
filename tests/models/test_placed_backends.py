"""One model over three backends: cpu on the host, cupy on its emulated grid, torch; logits are the reference's."""

import importlib.util
import sys
from pathlib import Path

import logits
import numpy as np
import pytest

from llamabox.gguf import open_gguf
from llamabox.kernels import Ops, Placement, Rows, Threads, make_step
from llamabox.kernels.assignment import make_plan
from llamabox.kernels.devices import Device
from llamabox.kernels.ops_cpu import CpuOps
from llamabox.kernels.placed import PlacedOps
from llamabox.models import load_model

sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels" / "emulated"))
import standin  # noqa: E402

GPUS = [Device("CUDA0", "cupy", "an emulated grid", 8 << 30, 8 << 30, "0")]
GPUS += [Device("XPU0", "torch", "torch on the CPU", 8 << 30, 8 << 30)] if importlib.util.find_spec("torch") else []
PLACEMENTS = {
    "layers": Placement(),
    "part on the host": Placement(gpu_layers=2, tensor_split=(1, 1)[: len(GPUS)]),
    "rows": Placement(split_mode="row"),
    "no KV offload": Placement(kv_offload=False),
    "experts on the host": Placement(overrides=((r"_exps", "CPU"),)),
}


@pytest.fixture(scope="module")
def backends():
    from llamabox.kernels.ops_cupy import CupyOps

    with standin.installed():
        opened = {"CPU": CpuOps(Threads(1)), "CUDA0": CupyOps()}
    if len(GPUS) > 1:
        from llamabox.kernels.ops_torch import TorchOps

        opened["XPU0"] = TorchOps(Threads(1), Threads(1), GPUS[1])
    return opened


def passes(model):
    cache = model.ops.kv_cache(model.config.kv_shapes(), 3, "f32", "f32")
    tokens = np.random.default_rng(3).integers(0, model.config.n_vocab, 40).astype(np.int32)
    outs = []
    for start, counts in (((0, 0), (9, 3)), ((9, 3), (1, 1)), ((10, 4), (1, 6))):
        parts = [Rows(s, n, (2 - i,), "all") for i, (s, n) in enumerate(zip(start, counts, strict=True))]
        model.ops.begin(sum(counts))
        outs.append(model.ops.to_numpy(model.forward(tokens[: sum(counts)], make_step(parts, cache))))
    model.ops.move_cells(cache, [64, 65, 66], [80, 81, 82], [4, 4, 0], model.key_ropes)
    return np.concatenate(outs), [np.asarray(model.ops.to_numpy(a[2]), np.float32) for a in cache.k]


@pytest.mark.parametrize("wanted", PLACEMENTS)
@pytest.mark.parametrize("name", ["llama", "llama-moe", "qwen2-q8-0", "command-r"])
def test_logits_and_keys_are_the_references(open_case, backends, name, wanted):
    file = open_gguf(open_case(name).path)
    plan = make_plan(2, PLACEMENTS[wanted], GPUS)
    several = load_model(file, PlacedOps(plan, backends))
    assert several.config.n_layer == 2
    expected, keys = passes(load_model(file, Ops()))
    found, moved = passes(several)
    bound = 1e-3 if name.endswith("q8-0") else 1e-8  # 8-bit rows of activations, and f32
    assert logits.nmse(expected, found) <= bound
    for a, b in zip(keys, moved, strict=True):
        assert logits.nmse(a, b) <= bound
