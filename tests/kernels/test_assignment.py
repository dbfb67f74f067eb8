"""Plans: layers go where llama.cpp puts them (conformance/placement.py asked it), and what cannot be is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from llamabox.gguf import GGMLType, Tensor
from llamabox.kernels.assignment import (
    DENSE,
    EXPERTS,
    Placement,
    PlacementError,
    cpu_layers,
    describe,
    make_plan,
)
from llamabox.kernels.devices import Device

STORED = Path(__file__).resolve().parents[2] / "conformance" / "results" / "placement.json"
CASES = json.loads(STORED.read_text())["cases"]
FLAGS = {"-ngl": ("gpu_layers", int), "-sm": ("split_mode", str), "-mg": ("main_gpu", int)}


def gpus(count, names="RPC", free=(8,) * 9):
    return [
        Device(f"{names}{i}", "torch", "", 16 << 30, None if free[i] is None else free[i] << 30) for i in range(count)
    ]


def placement(arguments):
    fields = {}
    for flag, value in zip(arguments[::2], arguments[1::2], strict=True):
        if flag == "-ts":
            fields["tensor_split"] = tuple(map(float, value.split("/")))
        elif flag == "-nkvo":
            fields["kv_offload"] = False
        else:
            name, kind = FLAGS[flag]
            fields[name] = kind(value)
    return Placement(**fields)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['n_layer']} {' '.join(case['arguments'])}")
def test_layers_go_where_llama_cpp_puts_them(case):
    plan = make_plan(case["n_layer"], placement(case["arguments"]), gpus(3))
    assert [*plan.layers, plan.output] == case["layers"]
    assert list(plan.kv) == case["kv"]


def test_by_default_all_layers_by_free_memory():
    plan = make_plan(7, Placement(), gpus(2, free=(2, 6)))
    assert plan.layers == ("RPC0",) * 2 + ("RPC1",) * 5
    assert (plan.output, plan.input, plan.single) == ("RPC1", "CPU", None)
    plan = make_plan(7, Placement(), gpus(2, free=(2, None)))  # one does not say: by the memory that it has
    assert plan.layers == ("RPC0",) + ("RPC1",) * 6


def test_one_device_takes_the_embeddings_too():
    plan = make_plan(3, Placement(), gpus(1))
    assert (plan.single, plan.input, plan.place("token_embd.weight")) == ("RPC0", "RPC0", "RPC0")
    assert make_plan(3, Placement(gpu_layers=3), gpus(1)).single is None
    assert make_plan(3, Placement(kv_offload=False), gpus(1)).single is None
    for nothing in (make_plan(3, Placement(), []), make_plan(3, Placement(gpu_layers=0), gpus(2))):
        assert (nothing.single, nothing.devices) == ("CPU", ("CPU",))


def test_rows_of_matrices_go_to_all_and_the_rest_to_the_main_gpu():
    plan = make_plan(4, Placement(gpu_layers=3, split_mode="row", tensor_split=(3, 1), main_gpu=1), gpus(2))
    assert plan.layers == ("CPU", "CPU", "RPC1", "RPC1")
    assert plan.parts("blk.2.attn_q.weight", (256, 64)) == [("RPC0", 0, 192), ("RPC1", 192, 256)]
    assert plan.parts("blk.2.attn_k.weight", (100, 64)) == [("RPC0", 0, 64), ("RPC1", 64, 100)]
    assert plan.parts("blk.2.ffn_gate_inp.weight", (8, 64)) == [("RPC1", 0, 8)]
    assert plan.parts("blk.0.attn_q.weight", (256, 64)) == [("CPU", 0, 256)]
    assert plan.parts("blk.3.ffn_up_exps.weight", (8, 256, 64)) == [("RPC1", 0, 8)]
    assert plan.parts("output.weight", (256, 64)) == [("RPC0", 0, 192), ("RPC1", 192, 256)]
    assert plan.parts("token_embd.weight", (256, 64)) == [("CPU", 0, 256)]
    assert plan.single is None
    assert make_plan(4, Placement(split_mode="row"), gpus(1)).single == "RPC0"
    assert make_plan(4, Placement(split_mode="row", gpu_layers=0), gpus(2)).devices == ("CPU",)


def test_overrides_win_in_their_order():
    wanted = Placement(
        overrides=((r"attn_q", "rpc1"), (r"blk\.1\.", "CPU"), *cpu_layers(EXPERTS, 1), *cpu_layers(DENSE))
    )
    plan = make_plan(3, wanted, gpus(2))
    places = {
        "blk.1.attn_q.weight": "RPC1",
        "blk.1.attn_k.weight": "CPU",
        "blk.0.attn_k.weight": "RPC0",
        "blk.0.ffn_up_exps.weight": "CPU",
        "blk.2.ffn_up_exps.weight": "RPC1",
        "blk.2.ffn_up.weight": "CPU",
        "blk.10.ffn_down_exps.weight": "RPC1",
    }
    assert {name: plan.place(name) for name in places} == places
    assert plan.home("blk.1.attn_q.weight") == "RPC0"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"split_mode": "tensor"}, "split_mode: found 'tensor', expected one of none, layer, row"),
        ({"tensor_split": (1, 1, 1)}, "tensor_split: found 3 shares, expected at most 2, one for RPC0, RPC1"),
        ({"tensor_split": (1, -1)}, r"tensor_split: found \[1, -1\], expected numbers of at least 0"),
        ({"tensor_split": (0, 0)}, r"tensor_split: found \[0, 0\], expected numbers of at least 0, not all of them 0"),
        ({"tensor_split": (float("nan"), 1)}, "tensor_split: found .nan, 1., expected numbers of at least 0"),
        ({"main_gpu": 2}, "main_gpu: found 2, expected 0 to 1, the place of one of RPC0, RPC1"),
        ({"main_gpu": -1}, "main_gpu: found -1, expected 0 to 1"),
        (
            {"overrides": (("exps", "CUDA7"),)},
            "overrides: found device 'CUDA7', expected one that is present: CPU, RPC0, RPC1",
        ),
        ({"overrides": (("ex(ps", "CPU"),)}, r"overrides: found 'ex\(ps', expected a regular expression"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(PlacementError, match=f"^{message}"):
        make_plan(4, Placement(**fields), gpus(2))


def test_the_plan_in_words():
    blocks = [
        Tensor(f"blk.{i}.attn_q.weight", GGMLType.F32, (512, 512), np.zeros((512, 512), np.float32)) for i in range(4)
    ]
    embeddings = Tensor("token_embd.weight", GGMLType.F32, (1024, 512), np.zeros((1024, 512), np.float32))
    plan = make_plan(4, Placement(gpu_layers=3, tensor_split=(1, 2)), gpus(2))
    assert list(describe(plan, [*blocks, embeddings])) == [
        "CPU: layers 0-1, embeddings, 4.0 MiB of weights",
        "RPC0: layers 2, 1.0 MiB of weights",
        "RPC1: layers 3, output, 3.0 MiB of weights",  # the embeddings once more, as the output
    ]
    plan = make_plan(4, Placement(split_mode="row", tensor_split=(3, 1)), gpus(2))
    assert list(describe(plan, blocks)) == [
        "CPU: embeddings, 0.0 MiB of weights",
        "RPC0: layers 0-3, output, rows of all matrices, 3.0 MiB of weights",
        "RPC1: rows of all matrices, 1.0 MiB of weights",
    ]
