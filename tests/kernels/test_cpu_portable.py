"""The form of the kernels for CPUs without AVX2, in a process of its own: the same results but for rounding."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from op_cases import matrix, normal

from llamabox.kernels import KVCache, KVShape, Rows, make_step, open_backend

# signed integers; sub-scales and an offset; sub-minimums; look-ups of bytes and of entries; base 3; two scales a group
TYPES = ("Q8_0", "Q6_K", "Q2_K", "IQ4_NL", "IQ2_XS", "IQ1_M", "TQ1_0", "NVFP4")


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


def test_portable_kernels(tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "import numpy as np; import test_cpu_portable as t;"
        "ops = t.open_backend('cpu', 2); w = t.matrix('Q8_0', 1, 32); assert 'portable' in ops.kernel_name(w);"
        f"np.savez({str(tmp_path / 'found.npz')!r}, **t.results(ops))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "NUMBA_CPU_NAME": "generic"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected, found = results(open_backend("cpu", 2)), np.load(tmp_path / "found.npz")
    for name, y in expected.items():
        if name == "keys":
            np.testing.assert_array_equal(found[name], y)
        else:  # without fused multiply-add, sums round differently
            np.testing.assert_allclose(found[name], y, rtol=2e-4, atol=2e-4 * np.nanmax(np.abs(y)), err_msg=name)


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
