"""`llamabox inspect FILE --graph`: the printed ops and what they cost, counted here from the file's tensors."""

import json
import math
import sys
from pathlib import Path

import pytest

from llamabox.assets import tiny_chat_path
from llamabox.cli import inspect
from llamabox.cli.options import OptionError
from llamabox.gguf import open_gguf

sys.path.append(str(Path(__file__).resolve().parents[2] / "conformance"))
import logits  # noqa: E402


def graph_of(capsys, path, *flags):
    assert inspect.main([str(path), "--graph", "--json", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def by_op(graph, op):
    return [node for node in graph["nodes"] if node["op"] == op]


def test_ops_are_printed_with_names_shapes_types_and_weights(capsys):
    assert inspect.main([str(tiny_chat_path()), "--graph"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "rms_norm attn_norm-3 1 x 192 float32 l_out-2, blk.3.attn_norm.weight, 1e-05" in lines
    assert "linear ffn_out-0 1 x 192 float32 %20, blk.0.ffn_down.weight Q8_0" in lines
    assert "linear result_output 1 x 1536 float32 result_norm, token_embd.weight Q8_0" in lines
    attend = "attend %32 1 x 6 x 32 float32 Qcur-1, Kcur-1, Vcur-1, step, 1, scale=0.176777"
    assert lines.index(attend) < lines.index(
        "linear attn_out-1 1 x 192 float32 kqv_out-1, blk.1.attn_output.weight Q8_0"
    )
    assert "attend 5 1,920 0.00" in lines  # 5 layers of 6 heads x (32 + 32) values, one cell
    assert lines[-1] == "llama forward, 1 row: 81 ops, 2,324,352 multiply-adds and 2,476,236 bytes of weights a token"


@pytest.mark.parametrize("rows", [1, 7])
def test_costs_are_those_of_the_tensors(capsys, rows):
    file = open_gguf(tiny_chat_path())
    config = {key.partition(".")[2]: value for key, value in file.metadata.items()}
    graph = graph_of(capsys, tiny_chat_path(), "--rows", str(rows))
    matrices = [t for t in file.tensors.values() if len(t.shape) == 2]  # token_embd too: it is the output's as well
    once = math.prod(file.tensors["token_embd.weight"].shape)  # of the one row that is wanted
    layers = [math.prod(t.shape) for t in matrices if t.name != "token_embd.weight"]
    heads, length = config["attention.head_count"], config["rope.dimension_count"]
    cells = rows * (rows + 1) // 2
    last = sum(math.prod(file.tensors[f"blk.4.ffn_{n}.weight"].shape) for n in ("gate", "up", "down"))
    products = sum(layers) * rows - last * (rows - 1) + once  # after the last attention, one row goes on
    assert graph["multiply_adds"] == products + cells * config["block_count"] * heads * 2 * length
    row = file.tensors["token_embd.weight"].nbytes // file.tensors["token_embd.weight"].shape[0]
    assert graph["weight_bytes"] == sum(t.nbytes for t in file.tensors.values()) + rows * row


def test_experts_count_as_often_as_they_are_chosen(capsys, tmp_path):
    case = logits.open_case("llama-moe", tmp_path)
    file = open_gguf(case.path)
    gate = file.tensors["blk.0.ffn_gate_exps.weight"]
    experts, used = gate.shape[0], file.metadata["llama.expert_used_count"]
    assert used < experts
    for rows in (1, experts):
        node = by_op(graph_of(capsys, case.path, "--rows", str(rows)), "linear_experts")[0]
        assert node["multiply_adds"] == rows * used * math.prod(gate.shape[1:])
        assert node["weight_bytes"] == gate.nbytes * min(experts, rows * used) // experts


def test_a_window_bounds_what_attention_costs(capsys, tmp_path):
    case = logits.open_case("gemma2", tmp_path)
    window = open_gguf(case.path).metadata["gemma2.attention.sliding_window"]
    rows = window + 3
    nodes = by_op(graph_of(capsys, case.path, "--rows", str(rows)), "attend")
    found = {node["kwargs"]["window"]: node["multiply_adds"] for node in nodes}
    heads, size = nodes[0]["results"][0]["shape"][1:]
    every = rows * (rows + 1) // 2
    assert found == {window: (every - 6) * heads * 2 * size, None: every * heads * 2 * size}


def test_an_encoder_shows_its_hidden_states(capsys, tmp_path):
    graph = graph_of(capsys, logits.open_case("bert", tmp_path).path, "--rows", "4")
    assert graph["function"] == "hidden"
    out = graph["nodes"][-1]["results"][0]
    assert (out["id"], out["names"], out["shape"][0]) == (graph["outputs"][0], ["result_embd"], 4)
    assert by_op(graph, "embed")[1]["args"][1] == [0]  # the one token type
    heads = by_op(graph, "attend")[0]["results"][0]["shape"]
    assert by_op(graph, "attend")[0]["multiply_adds"] == 4 * 4 * heads[1] * 2 * heads[2]


@pytest.mark.parametrize("name", logits.case_names())
def test_every_argument_of_every_architecture_has_a_word(capsys, tmp_path, name):
    path = logits.open_case(name, tmp_path).path
    graph = graph_of(capsys, path, "--rows", "3")
    names = set(open_gguf(path).tensors)
    weights = [
        item["weight"]
        for node in graph["nodes"]
        for arg in node["args"]
        for item in (arg if isinstance(arg, list) else [arg])
        if isinstance(item, dict) and "weight" in item
    ]
    halves = {n.replace("attn_qkv", f"attn_{x}") for n in names for x in "qkv"}
    halves |= {n.replace("ffn_up", "ffn_gate") for n in names}
    assert weights and set(weights) <= names | halves
    inspect.main([str(path), "--graph", "--rows", "3"])
    assert " object at 0x" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--graph", "--rows", "0"], "--rows: found 0, expected 1 to 1024, the model's context"),
        (["--graph", "--rows", "1025"], "--rows: found 1025, expected 1 to 1024"),
        (["--graph", "--kernels"], "not allowed with argument"),
        (["--json", "--kernels"], "--json, --kernels: found both, expected one"),
    ],
)
def test_what_does_not_fit_is_named(flags, message):
    with pytest.raises(OptionError, match=message):
        inspect.main([str(tiny_chat_path()), *flags])
