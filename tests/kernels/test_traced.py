"""What models may do with a recorded value, and that everything else is refused by name."""

import numpy as np
import pytest

from llamabox.kernels.nodes import Tape
from llamabox.kernels.traced import RecordError, Traced, TracedStep


@pytest.fixture
def x():
    tape = Tape()
    return Traced(tape, tape.value((3, 4, 8)))


BIAS = np.ones(8, np.float32)


@pytest.mark.parametrize(
    ("call", "op", "shape"),
    [
        (lambda x: x + x, "add", (3, 4, 8)),
        (lambda x: 2 - x, "sub", (3, 4, 8)),
        (lambda x: x * 0.5, "mul", (3, 4, 8)),
        (lambda x: np.float32(2) * x, "mul", (3, 4, 8)),
        (lambda x: BIAS + x, "add", (3, 4, 8)),
        (lambda x: x - BIAS, "sub", (3, 4, 8)),
        (lambda x: x / x[:, :, :1], "div", (3, 4, 8)),
        (lambda x: -x, "neg", (3, 4, 8)),
        (lambda x: x.reshape(-1, 16), "reshape", (6, 16)),
        (lambda x: x.reshape((12, 8)), "reshape", (12, 8)),
        (lambda x: x.transpose(1, 0, 2), "transpose", (4, 3, 8)),
        (lambda x: x.transpose(), "transpose", (8, 4, 3)),
        (lambda x: x[..., 2:6], "slice", (3, 4, 4)),
        (lambda x: x[1, None, ::2], "slice", (1, 2, 8)),
    ],
)
def test_what_models_may_do(x, call, op, shape):
    y = call(x)
    node = x.tape.nodes[-1]
    assert (node.op, y.shape, y.dtype, y.value) == (op, shape, np.float32, node.results[0])
    assert (y.ndim, y.size) == (len(shape), np.prod(shape))


def test_a_node_knows_which_side_is_which(x):
    2 - x, x - 2
    assert [node.args for node in x.tape.nodes] == [(2, x.value), (x.value, 2)]


def test_dtypes_follow_numpy(x):
    ids = Traced(x.tape, x.tape.value((3,), np.int32))
    assert [(ids + 1).dtype, (ids / 2).dtype, (x * 3).dtype] == [np.int32, np.float64, np.float32]
    assert (x * np.ones(8)).dtype == np.float64


def test_shapes_that_do_not_fit_are_numpys_error(x):
    with pytest.raises(ValueError, match="broadcast"):
        x + np.ones(7, np.float32)
    with pytest.raises(ValueError, match="reshape"):
        x.reshape(5, -1)


def in_place(x):
    x += 1


def assignment(x):
    x[0] = 1


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x: np.exp(x), r"np\.exp"),
        (lambda x: np.concatenate([x, x]), r"np\.concatenate"),
        (lambda x: np.asarray(x), "a NumPy array"),
        (lambda x: list(x), "iteration"),
        (lambda x: len(x), "len"),
        (lambda x: float(x), "float"),
        (lambda x: int(x), "int"),
        (lambda x: bool(x), "truth value"),
        (lambda x: [1, 2][x], "as an index"),
        (lambda x: x > 0, "comparison"),
        (lambda x: x == x, "comparison"),
        (lambda x: x**2, "pow"),
        (lambda x: x @ x, "matmul"),
        (lambda x: 2 in x, "in"),
        (lambda x: x[x], "an index of Traced"),
        (lambda x: x[[0, 1]], "an index of list"),
        (lambda x: x[np.arange(2)], "an index of ndarray"),
        (lambda x: x.mean(), r"\.mean"),
        (lambda x: x.T, r"\.T"),
        (lambda x: x.astype(np.float16), r"\.astype"),
        (lambda x: x + [1.0], "add of a value and list"),
        (in_place, "add in place"),
        (assignment, "assignment"),
    ],
)
def test_what_models_may_not_do_is_named_with_its_place(x, call, named):
    with pytest.raises(RecordError, match=rf"^test_traced\.\S+, line \d+: .*{named}.*; models call ops"):
        call(x)
    assert not x.tape.nodes


def test_a_step_gives_positions_and_wanted_rows_only(x):
    step = TracedStep(x, x)
    assert step.pos is x
    with pytest.raises(RecordError, match=r"step\.kv_len"):
        step.kv_len  # noqa: B018
