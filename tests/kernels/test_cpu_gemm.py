"""Products of several rows: the bits of each row alone, whatever the number of rows, the width and the CPU's form."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from op_cases import BLOCKS, FLOATS, matrix, nmse, normal, values_of

from llamabox.gguf import GGMLType
from llamabox.kernels import open_backend

BATCHES = (2, 3, 4, 5, 8, 16, 17, 33, 200)
ROWS = (*range(17), 31, 32, 197, 198, 199)  # those that are also multiplied alone
WIDTHS = (32, 288, 896, 4864)
OUT = 70  # weight rows: neither whole tiles nor whole tasks
# Integers of 5, 6, 7 and 8 bits, minimums, sub-scales, sub-minimums, sums that pass 31 bits, floats
FORMS = ("Q4_0", "Q6_K", "IQ2_XS", "Q8_0", "Q4_1", "Q2_K", "NVFP4", "F16", "F32")


def widths(type_name: str) -> list[int]:
    """WIDTHS, rounded up to whole blocks."""
    size = GGMLType[type_name].block_size
    return sorted({-(-width // size) * size for width in WIDTHS})


def check(ops, type_name: str, width: int) -> None:
    weight, x, bias = matrix(type_name, OUT, width), normal(1, max(BATCHES), width), normal(2, OUT)
    alone = {t: ops.linear(x[t : t + 1], weight, bias)[0] for t in ROWS}
    for rows in BATCHES:
        found, some = ops.linear(x[:rows], weight, bias), [t for t in ROWS if t < rows]
        expected = [alone[t] for t in some]
        np.testing.assert_array_equal(found[some], expected, f"{type_name}, {rows} rows of {width}")
    bound = 1e-9 if type_name in FLOATS else 1e-4
    assert nmse(x.astype(np.float64) @ values_of(weight).T + bias, found) <= bound, f"{type_name} {width}"


@pytest.mark.parametrize("type_name", [*FLOATS, *BLOCKS])
def test_rows_have_the_same_bits_in_any_batch(type_name):
    ops = open_backend("cpu", threads=2)
    for width in widths(type_name):
        check(ops, type_name, width)


@pytest.mark.parametrize("form", ["avx2", "portable"])
def test_and_in_the_forms_for_older_cpus(form):
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "import test_cpu_gemm as t; ops = t.open_backend('cpu', 2);"
        f"assert {form!r} in ops.kernel_name(t.matrix('Q8_0', 1, 32));"
        "[t.check(ops, name, width) for name in t.FORMS for width in t.widths(name)]"
    )
    env = {**os.environ, "LLAMABOX_CPU": form}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    if "which this CPU does not have" in done.stderr:
        pytest.skip(f"this CPU has no {form}")
    assert done.returncode == 0, done.stderr
