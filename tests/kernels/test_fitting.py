"""As many layers go to the GPUs as find room beside the cells of the context and a margin."""

from types import SimpleNamespace

import pytest

from llamabox.kernels import KVShape, Placement
from llamabox.kernels.devices import Device
from llamabox.kernels.fitting import fitted_plan, needs_of

GIB = 1 << 30


def tensor(name, size, shape=(64, 64)):
    return SimpleNamespace(name=name, shape=shape, nbytes=int(size * GIB))


LAYERS = [tensor(f"blk.{i}.ffn_up.weight", 1) for i in range(4)]
MODEL = [tensor("token_embd.weight", 2), tensor("output.weight", 1.5), *LAYERS]


def plan(free, tensors=MODEL, n_ctx=0, **wanted):
    gpus = [Device(f"G{i}", "torch", "", None, None if f is None else int(f * GIB)) for i, f in enumerate(free)]
    shapes = [KVShape(8, 64, 64)] * 4  # 2 KiB of f16 a token and layer
    return fitted_plan(4, Placement(**wanted), gpus, "CPU", needs_of(tensors, shapes, n_ctx, "f16", "f16"))


@pytest.mark.parametrize(
    ("free", "n_ctx", "wanted", "layers", "output"),
    [
        ([20], 0, {}, "0000", "0"),
        ([7], 0, {}, "C000", "0"),  # 2 GiB of embeddings too where all is on one device
        ([5.4], 0, {}, "CC00", "0"),
        ([5.6], 0, {}, "C000", "0"),  # 3 + 1.5 + a margin of 1
        ([5.6], 1 << 19, {}, "CCC0", "0"),  # a layer takes 1 GiB more
        ([2.4], 0, {}, "CCCC", "C"),
        ([2.4], 0, {"margins": (0,)}, "CCCC", "0"),
        ([None], 1 << 30, {}, "0000", "0"),
        ([4, 4], 0, {}, "0001", "1"),
        ([4, 4], 0, {"margins": (1 * GIB, 2 * GIB)}, "CC00", "1"),
        ([4, 4], 1 << 19, {"kv_offload": False}, "0001", "1"),
        ([5.6], 0, {"overrides": (("ffn_up", "CPU"),)}, "0000", "0"),
    ],
)
def test_what_fits(free, n_ctx, wanted, layers, output):
    found = plan(free, n_ctx=n_ctx, **wanted)
    names = {"C": "CPU", "0": "G0", "1": "G1"}
    assert (found.layers, found.output) == (tuple(names[c] for c in layers), names[output])


def test_tied_embeddings_take_room_as_the_output():
    tied = [tensor("token_embd.weight", 2), *LAYERS]
    assert plan([5.4], tied).layers == ("CPU", "CPU", "G0", "G0")
    assert plan([4.9], tied).layers == ("CPU", "CPU", "CPU", "G0")
