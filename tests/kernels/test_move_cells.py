"""Cells moved within the KV pool: their keys are those that their new positions would have given."""

import numpy as np
import pytest
from on_backends import EVERY, cells_like, open_ops
from op_cases import nmse, normal

from llamabox.kernels import BLOCK, KVShape, Rope
from llamabox.kernels.kv import decode, encode

N = 3 * BLOCK
ROPES = [
    (Rope(32, 500.0), None),
    (Rope(16, 10000.0, neox=True, freq_scale=0.25), None),  # half of each head turns
    (Rope(32, 500.0, ext_factor=1.0, attn_factor=1.3, freq_scale=0.5, n_ctx_orig=32), None),  # YaRN: with a magnitude
    (Rope(32, 500.0), np.linspace(1, 8, 16).astype(np.float32)),
    None,
]


@pytest.fixture(scope="module", params=EVERY)
def ops(request):
    return open_ops(request.param)


def filled(ops, x, v, pos, type_name):
    """A pool whose cell i holds what is at pos[i] in every layer."""
    kv = ops.kv_cache([KVShape(2, 32, 32)] * len(ROPES), N // BLOCK, type_name, type_name)
    for i, rope in enumerate(ROPES):
        keys = x if rope is None else ops.rope(x, ops.rope_angles(pos, *rope), rope[0].neox)
        for cell in range(N):
            kv.k[i][cell // BLOCK, :, cell % BLOCK] = cells_like(ops, encode(keys[cell], type_name), kv.k[i])
            kv.v[i][cell // BLOCK, :, cell % BLOCK] = cells_like(ops, encode(v[cell], type_name), kv.v[i])
    return kv


@pytest.mark.parametrize("type_name, bound", [("f32", 1e-11), ("f16", 1e-6), ("bf16", 5e-5), ("q8_0", 1e-4)])
def test_keys_are_turned_to_their_new_positions_and_values_copied(ops, type_name, bound):
    """Cells 40.. move 17 to the front, over themselves; 30..39 stay and keep their bits."""
    x, v = normal(1, N, 2, 32), normal(2, N, 2, 32)
    pos = np.arange(N, dtype=np.int32)
    kv = filled(ops, x, v, pos, type_name)
    before = [ops.to_numpy(a).copy() for a in kv.k + kv.v]
    sources = [*range(30, 40), *range(57, N)]
    targets = [*range(30, 40), *range(40, N - 17)]
    ops.move_cells(kv, sources, targets, [0] * 10 + [-17] * (N - 57), ROPES)
    moved = np.concatenate([np.arange(40), np.arange(57, N), np.arange(N - 17, N)])  # which token each cell has now
    expected = filled(ops, x[moved], v[moved], np.concatenate([pos[: N - 17], pos[N - 17 :]]), type_name)
    for i in range(len(ROPES)):
        for cells, same in ((range(40), True), (range(40, N - 17), False), (range(N - 17, N), True)):
            block, offset = np.divmod(np.array(cells), BLOCK)
            k = [decode(ops.to_numpy(a[i])[block, :, offset], type_name) for a in (kv.k, expected.k)]
            assert nmse(k[1], k[0]) <= (0 if same or ROPES[i] is None else bound), (i, same)
            old = decode(before[i][block, :, offset], type_name)
            assert same or ROPES[i] is None or nmse(old, k[0]) > 0.01, "it did turn"
            moved_v, expected_v = (ops.to_numpy(a[i])[block, :, offset] for a in (kv.v, expected.v))
            np.testing.assert_array_equal(moved_v, expected_v)
