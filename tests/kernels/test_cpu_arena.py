"""Memory of compiled steps: what is needed at the same time never shares a place, what is not does."""

import numpy as np

from llamabox.kernels.cpu.arena import Arena, Buffer, View


def test_no_two_living_buffers_overlap():
    random = np.random.default_rng(6)
    buffers = []
    for _ in range(200):
        first = int(random.integers(0, 60))
        buffers.append(Buffer(int(random.integers(0, 500)), first, first + int(random.integers(0, 6))))
    arena = Arena(buffers)
    places = [(b, arena.address(View(b, np.empty(b.size_bytes, np.uint8)))) for b in buffers]
    low = arena.memory.ctypes.data
    for i, (a, at) in enumerate(places):
        assert at % 64 == 0 and low <= at and at + a.size_bytes <= low + arena.memory.nbytes
        for b, other in places[:i]:
            apart = at + a.size_bytes <= other or other + b.size_bytes <= at
            assert apart or a.last < b.first or b.last < a.first
    assert arena.memory.nbytes < sum(b.size_bytes for b in buffers) / 3


def test_views_are_where_their_arrays_are():
    buffers = [Buffer(48, 1, 2), Buffer(96, 2, 3)]
    arena = Arena(buffers)
    whole = View(buffers[1], np.empty((4, 6), np.float32))
    part = whole.derived(whole.likeness[1:, ::2])
    arena.array(whole)[...] = np.arange(24).reshape(4, 6)
    np.testing.assert_array_equal(arena.array(part), np.arange(24).reshape(4, 6)[1:, ::2])
    assert arena.address(part) - arena.address(whole) == 24
    assert not part.contiguous
