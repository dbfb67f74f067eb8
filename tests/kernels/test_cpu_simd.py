"""Vectors of 16, 32 and 64 bytes: the same results in every form of the CPU's instructions."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llamabox.kernels.cpu.features import AVX512, FEATURES, Features, features_of

FORMS = ({"LLAMABOX_CPU": "portable"}, {"LLAMABOX_CPU": "avx2"}, {"NUMBA_CPU_NAME": "generic"}, {})
PROGRAM = "import sys; sys.path.insert(0, {folder!r}); import test_cpu_simd as t; t.check_all()"


def check_all() -> None:
    """Every check of this file on the form of this process."""
    check_dots()
    check_lanes()


def check_dots() -> None:
    from numba import njit

    from llamabox.kernels.cpu import simd

    @njit
    def run(acc, a, b, c, out):
        """acc i32, a unsigned, b and c signed, 64 of each; out (2, 2, 16)"""
        for i in range(0, 64, 32):
            old, x = simd.load_i32x8(acc + i), simd.load_i8x32(b + i)
            simd.store(out + i, simd.dot(old, simd.load_i8x32(a + i), x))
            simd.store(out + 64 + i, simd.dot_signed(old, simd.load_i8x32(c + i), x))
        old, x = simd.load_i32x16(acc), simd.load_i8x64(b)
        simd.store(out + 128, simd.dot(old, simd.load_i8x64(a), x))
        simd.store(out + 192, simd.dot_signed(old, simd.load_i8x64(c), x))

    rng, top = np.random.default_rng(0), 255 if FEATURES.vnni else 127
    acc = rng.integers(-1 << 30, 1 << 30, 16, dtype=np.int32)
    unsigned = (rng.integers(0, top + 1, 64), np.full(64, top), np.zeros(64, int))
    signed = (rng.integers(-128, 128, 64), np.full(64, 127), np.full(64, -128))
    for a, c in zip(unsigned, signed, strict=True):
        for b in (rng.integers(-127, 128, 64), np.full(64, 127), np.full(64, -127)):
            out, bytes_ = np.empty((2, 2, 16), np.int32), [v.astype(np.uint8) for v in (a, b, c)]
            run(acc.ctypes.data, *(v.ctypes.data for v in bytes_), out.ctypes.data)
            expected = [acc + (v * b).reshape(16, 4).sum(1) for v in (a, c)]
            np.testing.assert_array_equal(out, [expected, expected])


def check_lanes() -> None:
    from numba import njit

    from llamabox.kernels.cpu import simd

    @njit
    def run(x, y, out):
        a, b = simd.load_f32x16(x), simd.load_f32x16(y)
        simd.store(out, simd.join(simd.high_half(a), simd.low_half(b)))
        simd.store(out + 64, simd.fma(a, b, simd.splat_f32x16(1.0)))
        simd.store(out + 128, simd.max_f32(a, b) - simd.min_f32(a, b))
        simd.store(out + 192, simd.to_f32(simd.to_i32(a * 8.0)))
        return simd.sum_f32(a)

    x, y = np.arange(16, dtype=np.float32) / 4, np.arange(16, 0, -1).astype(np.float32) / 2
    out = np.empty((4, 16), np.float32)
    assert run(x.ctypes.data, y.ctypes.data, out.ctypes.data) == x.sum()
    np.testing.assert_array_equal(out[0], [*x[8:], *y[:8]])
    np.testing.assert_array_equal(out[1], x * y + 1)
    np.testing.assert_array_equal(out[2], np.abs(x - y))
    np.testing.assert_array_equal(out[3], x * 8)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form.values()) or "native")
def test_every_form(form):
    if form.get("LLAMABOX_CPU") == "avx2" and not FEATURES.avx2:
        pytest.skip("this CPU has no AVX2")
    program = PROGRAM.format(folder=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **form}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_features_follow_the_cpu_and_the_choice():
    zen4 = {*AVX512, "avx2", "fma", "f16c"}
    lion_cove = {"avx2", "fma", "f16c", "avxvnni"}
    assert features_of("x86_64", zen4.__contains__, "native").name == "avx512"
    assert features_of("x86_64", (zen4 - {"avx512vnni"}).__contains__, "native").name == "avx2"
    assert features_of("amd64", lion_cove.__contains__, "native").name == "avxvnni"
    assert features_of("x86_64", zen4.__contains__, "avx2") == Features(True, True, True, True)
    assert features_of("x86_64", zen4.__contains__, "portable") == Features(x86=True)
    assert features_of("aarch64", {"dotprod"}.__contains__, "native").name == "dotprod"
    assert features_of("arm64", set().__contains__, "native") == Features(fma=True, f16c=True)
    assert features_of("riscv64", set().__contains__, "native") == Features()
