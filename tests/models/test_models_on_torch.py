"""Decode on torch: it never waits for the device, and keeps to what every kind of device can."""

import logits
import numpy as np
import pytest
from torch_watch import NOT_EVERYWHERE, READ_BACK, Watch

from llamabox.assets import tiny_chat_path
from llamabox.gguf import open_gguf
from llamabox.kernels import Rows, Threads, make_step
from llamabox.kernels.devices import Device
from llamabox.kernels.ops_torch import TorchOps
from llamabox.models import load_model

META = Device("META", "torch", "torch's device without values", address="meta")


def decode_step(loaded, type_k="f16", type_v="f16"):
    """One step of two sequences, 40 and 3 tokens long."""
    cache = loaded.ops.kv_cache(loaded.config.kv_shapes(), 3, type_k, type_v)
    return np.array([5, 7], np.int32), make_step([Rows(39, 1, (2, 0)), Rows(2, 1, (1,))], cache)


def is_decoder(name):
    with np.load(logits.ARCHS / "expected" / f"{name}.npz") as stored:
        return str(stored["kind"]) == "decoder"


DECODERS = [name for name in logits.case_names() if is_decoder(name)]


@pytest.mark.parametrize("name", DECODERS)
def test_decode_needs_no_values(open_case, name):
    """On a device that has none: whatever asks for one raises."""
    loaded = load_model(open_gguf(open_case(name).path), TorchOps(Threads(1), Threads(1), META))
    tokens, step = decode_step(loaded)
    y = loaded.forward(tokens, step)
    assert y.shape == (2, loaded.config.n_vocab) and y.device.type == "meta"
    with pytest.raises((NotImplementedError, RuntimeError)):
        loaded.ops.to_numpy(y)


@pytest.mark.parametrize("types", [("q8_0", "q4_0"), ("q4_1", "q5_0"), ("q5_1", "iq4_nl"), ("bf16", "f32")], ids=str)
def test_no_cache_type_needs_values(types):
    loaded = load_model(open_gguf(tiny_chat_path()), TorchOps(Threads(1), Threads(1), META))
    tokens, step = decode_step(loaded, *types)
    assert loaded.forward(tokens, step).shape == (2, loaded.config.n_vocab)


@pytest.mark.parametrize("name", DECODERS)
def test_decode_keeps_to_what_every_device_has(open_case, name):
    loaded = logits.load(open_case(name), "torch").model
    tokens, step = decode_step(loaded)
    with Watch() as seen:
        loaded.forward(tokens, step)
    assert not seen.dtypes & NOT_EVERYWHERE
    assert not [op for op in seen.names if op.startswith(READ_BACK)]
    assert "aten.mm.default" in seen.names, "the watch sees operations"
