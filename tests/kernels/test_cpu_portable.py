"""The forms of the kernels for CPUs with less than this one, each in a process of its own.

With AVX2 alone products have the same bits; in the portable form, without fused multiply-add, sums round differently.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from op_cases import matrix, normal

from llamabox.kernels import KVCache, KVShape, Rows, make_step, open_backend
from llamabox.kernels.cpu.features import FEATURES

# floats; signed integers; minimums; sub-scales and an offset; sub-minimums; look-ups of bytes and of entries; base 3;
# two scales a group
TYPES = ("F16", "Q8_0", "Q4_K", "Q6_K", "Q2_K", "IQ4_NL", "IQ2_XS", "IQ1_M", "TQ1_0", "NVFP4")


def results(ops) -> dict[str, np.ndarray]:
    """What both processes compute."""
    found = {}
    for name in TYPES:
        for rows in (1, 3):
            found[f"{name} {rows}"] = ops.linear(normal(1, rows, 512), matrix(name, 40, 512))
    kv = KVCache([KVShape(2, 16, 16)], 3, "f16", "bf16")
    q, k, v = normal(2, 70, 4, 16), normal(3, 70, 2, 16, scale=1e-3), normal(4, 70, 2, 16)
    k[3, 0, :8] = [1e-8, 3e-8, 6e-8, 65519, 65520, 1e30, -np.inf, np.nan]  # every branch of f32 -> f16 -> f32
    found["attend"] = ops.attend(q, k, v, make_step([Rows(0, 70, [2, 0, 1])], kv), 0, scale=0.2)
    found["keys"] = kv.k[0].view(np.uint16)[:, :, :, 2:]  # not the NaN's own bits
    found["silu"] = ops.silu(normal(5, 100, scale=20))
    return found


@pytest.fixture(scope="module")
def native() -> dict[str, np.ndarray]:
    return results(open_backend("cpu", 2))


def results_of(form: str, folder: Path, environment: dict[str, str]) -> dict[str, np.ndarray]:
    """The results of a process with this environment, whose kernels must have this form."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "import numpy as np; import test_cpu_portable as t;"
        f"ops = t.open_backend('cpu', 2); w = t.matrix('Q8_0', 1, 32); assert {form!r} in ops.kernel_name(w);"
        f"np.savez({str(folder / 'found.npz')!r}, **t.results(ops))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return np.load(folder / "found.npz")


def test_portable_kernels(tmp_path, native):
    found = results_of("portable", tmp_path, {"NUMBA_CPU_NAME": "generic"})
    for name, y in native.items():
        if name == "keys":
            np.testing.assert_array_equal(found[name], y)
        else:
            np.testing.assert_allclose(found[name], y, rtol=2e-4, atol=2e-4 * np.nanmax(np.abs(y)), err_msg=name)


@pytest.mark.skipif(not FEATURES.avx2, reason="this CPU has no AVX2")
def test_avx2_kernels(tmp_path, native):
    found = results_of("avx2", tmp_path, {"LLAMABOX_CPU": "avx2"})
    for name, y in native.items():
        if name in ("attend", "silu"):
            np.testing.assert_allclose(found[name], y, rtol=2e-4, atol=2e-4 * np.nanmax(np.abs(y)), err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], y, err_msg=name)


def test_the_portable_form_can_be_chosen():
    done = subprocess.run(
        [sys.executable, "-c", "import llamabox.kernels.cpu.features as f; print(f.FEATURES.name, f.FEATURES.fma)"],
        env={**os.environ, "LLAMABOX_CPU": "portable"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("portable")


def test_an_unknown_form_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", "import llamabox.kernels.cpu.features"],
        env={**os.environ, "LLAMABOX_CPU": "fast"},
        capture_output=True,
        text=True,
    )
    assert 'LLAMABOX_CPU: found \'fast\', expected "native", "avx2" or "portable"' in done.stderr
