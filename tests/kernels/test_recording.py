"""RecordingOps: every op of the vocabulary, with the results that the reference gives for the same arguments."""

import inspect

import numpy as np
import pytest
from op_cases import CASES, matrix

from llamabox.kernels import Ops
from llamabox.kernels.nodes import Tape
from llamabox.kernels.recording import RecordingOps
from llamabox.kernels.traced import RecordError, Traced

OUTSIDE = (
    "weight",
    "array",
    "to_numpy",
    "kv_cache",
    "kernel_name",
    "enter",
    "begin",
    "move_cells",
    "store_rows",
    "run",
)


def vocabulary():
    return [name for name, f in inspect.getmembers(Ops, callable) if not name.startswith("_") and name not in OUTSIDE]


@pytest.mark.parametrize("name", vocabulary())
def test_every_op_records_with_the_signature_it_has(name):
    reference, recorded = (inspect.signature(getattr(cls, name)) for cls in (Ops, RecordingOps))
    parts = [[(p.name, p.kind, p.default) for p in s.parameters.values()] for s in (reference, recorded)]
    assert parts[0] == parts[1]


class Both:
    """Ops that compute each op and record it, on arrays that know what was recorded for them."""

    def __init__(self):
        self.real, self.tape = Ops(), Tape()
        self.recording = RecordingOps(self.tape)
        self.compared = 0

    def __getattr__(self, name):
        def call(*args, **kwargs):
            made = getattr(self.real, name)(*args, **kwargs)
            noted = getattr(self.recording, name)(*map(self.trace, args), **kwargs)
            several = isinstance(made, list | tuple)
            for a, t in zip(made if several else [made], noted if several else [noted], strict=True):
                assert (t.shape, t.dtype) == (a.shape, a.dtype), name
                self.compared += 1
            return made

        return call

    def trace(self, x):
        if isinstance(x, np.ndarray):
            return Traced(self.tape, self.tape.value(x.shape, x.dtype))
        return type(x)(map(self.trace, x)) if isinstance(x, list | tuple) else x


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_shapes_and_dtypes_are_those_of_the_reference(case):
    ops = Both()
    case.call(ops)
    assert ops.compared > 0


def test_an_unknown_op_is_refused():
    with pytest.raises(RecordError, match=r"ops\.fft"):
        RecordingOps(Tape()).fft()


def test_misfits_are_refused_as_by_the_reference():
    ops, tape = RecordingOps(Tape()), Tape()
    x, ids = Traced(tape, tape.value((2, 64))), Traced(tape, tape.value((2, 3), np.int64))
    wide, heads = matrix("F32", 8, 96), Traced(tape, tape.value((2, 4, 16)))
    cases = [
        lambda o: o.linear(x, wide),
        lambda o: o.linear_many(x, [matrix("F32", 8, 64), wide]),
        lambda o: o.linear(x, matrix("F32", 8, 64), np.zeros(9, np.float32)),
        lambda o: o.linear_experts(x, matrix("F32", 4, 8, 64), ids),
        lambda o: o.rms_norm(x, np.ones(63, np.float32), 1e-6),
        lambda o: o.ffn_gated(x, matrix("F32", 8, 64), matrix("F32", 16, 64)),
        lambda o: o.ffn_gated(x, matrix("F32", 8, 64), matrix("F32", 8, 64), "relu"),
        lambda o: o.rope(heads, (x, x), True),
    ]
    for call in cases:
        with pytest.raises(ValueError, match="fit|relu"):
            call(ops)
