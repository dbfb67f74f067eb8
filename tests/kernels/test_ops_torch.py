"""TorchOps: products and attention take no large arrays; bf16, threads, devices."""

import numpy as np
import pytest
import torch
from on_backends import open_torch
from op_cases import matrix, nmse, normal
from torch_watch import NOT_EVERYWHERE, Watch

import llamabox
from llamabox.assets import tiny_chat_path
from llamabox.gguf import dequantize, open_gguf
from llamabox.kernels import BackendError, KVShape, Rows, make_step, open_backend


def test_the_watch_sees_what_is_not_allowed():
    with Watch() as seen:
        x = torch.zeros(3, dtype=torch.float64)
        x[0].item()
        x[x > 0]
    assert seen.dtypes & NOT_EVERYWHERE
    assert {"aten._local_scalar_dense.default", "aten.nonzero.default"} & seen.names


@pytest.mark.parametrize("how", [{}, {"window": 700, "softcap": 20.0}, {"alibi": 8.0}], ids=str)
@pytest.mark.parametrize("rows, start", [(3000, 0), (1, 5999)])
def test_attention_takes_no_large_arrays(rows, start, how):
    """All scores of the prompt would be 72 MB a head; a tile is 4 MB."""
    ops = open_torch()
    kv = ops.kv_cache([KVShape(2, 32, 32)], 188, "f16", "q8_0")
    q, k, v = (ops.array(normal(i, rows, n, 32)) for i, n in ((1, 4), (2, 2), (3, 2)))
    with Watch() as seen:
        ops.attend(q, k, v, make_step([Rows(start, rows, range(188))], kv), 0, scale=0.25, **how)
    assert 0 < seen.largest <= 4 << 20


def test_products_unpack_tiles():
    """A matrix of 32 MB of values takes 4 MB of them at a time."""
    ops = open_torch()
    weight = matrix("Q8_0", 8192, 1024)
    there = type(weight)(weight.name, weight.type, weight.shape, ops.array(weight.data))
    x = normal(1, 2, 1024)
    with Watch() as seen:
        y = ops.linear(ops.array(x), there)
    assert 1 << 20 < seen.largest <= 4 << 20
    assert nmse(x.astype(np.float64) @ dequantize(weight.data, weight.type).T.astype(np.float64), y.numpy()) <= 1e-12


@pytest.mark.parametrize("rows", [32, 33])
def test_products_in_bf16_stay_within_the_bound(rows):
    """What accelerators with bf16 products compute, on the CPU: many rows, and block types alone."""
    ops = open_torch()
    ops._narrow = torch.bfloat16
    for name in ("Q4_0", "Q6_K", "F16"):
        weight, x = matrix(name, 64, 2048), normal(1, rows, 2048)
        there = type(weight)(weight.name, weight.type, weight.shape, ops.array(weight.data))
        expected = x.astype(np.float64) @ dequantize(weight.data, weight.type).astype(np.float64).T
        error = nmse(expected, ops.linear(ops.array(x), there).numpy())
        narrow = rows > 32 and name != "F16"
        assert (1e-9 < error <= 2e-5) if narrow else error <= 1e-12


def test_weights_on_a_cpu_are_those_of_the_mapped_file():
    file = open_gguf(tiny_chat_path())
    ops = open_backend("torch", 1, device="CPU")
    tensor = file.tensors["token_embd.weight"]
    assert ops.weight(tensor).data.data_ptr() == tensor.data.ctypes.data


def test_threads_are_those_asked_for():
    ops = open_backend("torch", 1, 2, device="CPU")
    ops.begin(1)
    assert torch.get_num_threads() == 1
    ops.begin(5)
    assert torch.get_num_threads() == 2
    ops.begin(1)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(BackendError, match="^device of backend torch: found 'CUDA9', expected .* present: CPU"):
        open_backend("torch", device="CUDA9")
    with pytest.raises(BackendError, match="found 'XPU7'"):
        llamabox.load(tiny_chat_path(), backend="torch", device="XPU7")


@pytest.mark.parametrize("told", ["MPS backend out of memory", "DefaultCPUAllocator: can't allocate memory"])
def test_no_room_on_the_device_names_what_was_placed(told, monkeypatch):
    def full(*args, **how):
        raise RuntimeError(told)

    ops = open_torch()
    monkeypatch.setattr(torch, "zeros", full)
    with pytest.raises(BackendError, match=f"KV cache of 96 cells: CPU .* has no room: {told}"):
        ops.kv_cache([KVShape(1, 32, 32)], 3)
    monkeypatch.setattr(torch, "from_numpy", full)
    with pytest.raises(BackendError, match="token_embd.weight: CPU"):
        ops.weight(open_gguf(tiny_chat_path()).tensors["token_embd.weight"])


def test_other_failures_of_torch_stay_what_they_are(monkeypatch):
    def broken(*args, **how):
        raise RuntimeError("kernel failed")

    ops = open_torch()
    monkeypatch.setattr(torch, "zeros", broken)
    with pytest.raises(RuntimeError, match="^kernel failed$"):
        ops.kv_cache([KVShape(1, 32, 32)], 3)
