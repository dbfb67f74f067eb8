"""Folders that cannot be converted: one ConvertError that says why, and no file left behind."""

import json
import shutil
import struct
from pathlib import Path

import pytest

from llamabox.gguf.convert import ConvertError, convert_folder

FIXTURES = Path(__file__).parents[3] / "conformance" / "convert"


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def edit_header(folder, change):
    """Rewrite the JSON header of model.safetensors by `change(dict)`."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def rename(old, new):
    return lambda header: header.update({new: header.pop(old)})


def set_entry(name, **entry):
    return lambda header: header[name].update(entry)


Q = "model.layers.0.self_attn.q_proj.weight"
CASES = {
    "no config": ("llama", lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "config no JSON": ("llama", lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
    "unknown architecture": ("llama", lambda f: edit_config(f, architectures=["Nope"]), "Nope"),
    "a missing key": ("llama", lambda f: edit_config(f, hidden_size=None) or drop_key(f, "hidden_size"), "hidden_size"),
    "no tensors": ("llama", lambda f: (f / "model.safetensors").unlink(), "safetensors"),
    "an empty file": ("llama", lambda f: (f / "model.safetensors").write_bytes(b""), "0 bytes"),
    "a huge header": ("llama", lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 64), "header of"),
    "header no JSON": (
        "llama",
        lambda f: (f / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{x"),
        "not valid",
    ),
    "unknown tensor": ("llama", lambda f: edit_header(f, rename(Q, "model.layers.0.magic.weight")), "magic"),
    "offsets outside": ("llama", lambda f: edit_header(f, set_entry(Q, data_offsets=[0, 10**12])), "offsets"),
    "negative shape": ("llama", lambda f: edit_header(f, set_entry(Q, shape=[-48, -48])), "q_proj"),
    "integer weights": ("llama", lambda f: edit_header(f, set_entry(Q, dtype="I32")), "I32"),
    "a damaged entry": ("llama", lambda f: edit_header(f, lambda h: h.update({Q: 5})), "damaged"),
    "an expert is missing": (
        "mixtral",
        lambda f: edit_header(f, lambda h: h.pop("model.layers.0.block_sparse_moe.experts.1.w1.weight")),
        "experts",
    ),
    "unknown rope": ("llama", lambda f: edit_config(f, rope_parameters={"rope_type": "spiral"}), "spiral"),
    "a router that does not normalise": ("qwen3moe", lambda f: edit_config(f, norm_topk_prob=False), "norm_topk_prob"),
}


def drop_key(folder, name):
    config = json.loads((folder / "config.json").read_text())
    del config[name]
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("case", CASES)
def test_a_folder_that_cannot_be_converted(case, tmp_path):
    fixture, damage, says = CASES[case]
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / fixture, folder)
    damage(folder)
    with pytest.raises(ConvertError, match=says):
        convert_folder(folder, tmp_path / "out.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
