"""The commands `llamabox inspect` and `llamabox quantize`."""

import json

import numpy as np
import pytest
from conftest import METADATA

from llamabox.cli import inspect, quantize
from llamabox.cli.options import OptionError
from llamabox.gguf import GGMLType, GGUFError, GGUFWriter, open_gguf


def test_inspect_prints_every_key_and_tensor(example, tensors, capsys):
    assert inspect.main([str(example)]) == 0
    out = capsys.readouterr().out
    assert "GGUF version 3, little-endian" in out
    for key, _, _ in METADATA:
        assert any(line.startswith(key + " ") for line in out.splitlines()), key
    for name, (data, type) in tensors.items():
        shape = data.shape if type.dtype is not None else (2, 3, 256)
        row = next(line.split("  ") for line in out.splitlines() if line.startswith(name + "  "))
        assert [cell.strip() for cell in row if cell.strip()] == [
            name, " x ".join(map(str, shape)), type.name, f"{data.nbytes:,}",
        ]  # fmt: skip
    total = sum(data.nbytes for data, _ in tensors.values())
    assert f"{len(tensors)} tensors, " in out and f" {total:,} bytes" in out


def test_inspect_abbreviates(tmp_path, capsys):
    path = tmp_path / "x.gguf"
    writer = GGUFWriter(path, None).add("list", np.arange(1000, dtype=np.int32)).add("text", "y" * 500)
    writer.add("name\x1b[31m\udcff", "red\x1b[31m").add_tensor("t\n", np.zeros(2, np.float32)).write()
    inspect.main([str(path)])
    out = capsys.readouterr().out
    assert "[0, 1, 2, 3, 4, 5, ...] (1,000 items)" in out
    assert '"' + "y" * 80 + '"... (500 characters)' in out
    assert "\x1b" not in out and "name\\x1b[31m\\xdcff" in out and "t\\x0a" in out


def test_inspect_json(example, capsys):
    inspect.main(["--json", str(example)])
    found = json.loads(capsys.readouterr().out)
    assert {key: found["metadata"][key] for key, _, _ in METADATA} == {key: value for key, value, _ in METADATA}
    q4 = next(tensor for tensor in found["tensors"] if tensor["name"] == "Q4_K")
    assert q4 == {"name": "Q4_K", "shape": [2, 3, 256], "type": "Q4_K", "bytes": 2 * 3 * 144}


def test_inspect_json_of_numbers_that_json_lacks(tmp_path, capsys):
    path = tmp_path / "x.gguf"
    GGUFWriter(path, None).add("inf", float("inf")).add("nans", [float("nan"), 1.0]).write()
    inspect.main(["--json", str(path)])
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["metadata"] == {
        "inf": "inf",
        "nans": ["nan", 1],
    }


def test_inspect_override(example, capsys):
    inspect.main(["--json", "--override-kv", "test.uint32=int:5", str(example)])
    assert json.loads(capsys.readouterr().out)["metadata"]["test.uint32"] == 5


def test_inspect_kernels_asks_the_backend(example, tensors, capsys):
    inspect.main(["--kernels", "--backend", "numpy", str(example)])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split("  ")[0]: line for line in lines[2:]}
    assert set(rows) == set(tensors)
    from llamabox.kernels import open_backend

    ops, file = open_backend("numpy"), open_gguf(example)
    assert rows["Q4_K"].endswith("  " + ops.kernel_name(ops.weight(file.tensors["Q4_K"])))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "in.gguf"
    values = np.random.default_rng(0).standard_normal((8, 256)).astype(np.float32)
    GGUFWriter(path, "llama").add_tensor("blk.0.attn_q.weight", values).write()
    return path


def test_quantize(model, tmp_path, capsys):
    out = tmp_path / "out.gguf"
    assert quantize.main([str(model), str(out), "q4_k_m", "--threads", "1", "--override-kv", "general.name=str:n"]) == 0
    file = open_gguf(out)
    assert file.tensors["blk.0.attn_q.weight"].type == GGMLType.Q4_K and file.metadata["general.name"] == "n"
    captured = capsys.readouterr()
    assert "before: 0.01 MiB, 32.00 bits per weight\nafter: 0.00 MiB, 4.50 bits per weight\n" == captured.out
    assert captured.err == ""  # no bar without a terminal


@pytest.mark.parametrize("arguments, message", [(["IQ2_XS"], "'IQ2_XS' is not supported"), (["7B"], "'7B' is not")])
def test_quantize_refuses(model, tmp_path, arguments, message):
    with pytest.raises(GGUFError, match=message):
        quantize.main([str(model), str(tmp_path / "out.gguf"), *arguments])
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("threads", ["0", "-1", "x"])
def test_quantize_refuses_thread_counts(model, tmp_path, threads):
    with pytest.raises(OptionError, match="--threads"):
        quantize.main([str(model), str(tmp_path / "out.gguf"), "F16", "-t", threads])
