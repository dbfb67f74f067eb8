"""Kernels compile for aarch64, and use its 8-bit dot products where a CPU has them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "compile_kernels.py"
MATCH = "(one|many)_rows? (Q8_0|Q4_K|Q6_K|F16)|fused rms_norm|attention attend|program"


@pytest.mark.parametrize("dotprod", [False, True])
def test_kernels_compile_for_aarch64(dotprod):
    command = [sys.executable, str(TOOL), "--match", MATCH, *(["--dotprod"] if dotprod else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^(.+): \d+ bytes, (\d+) sdot$", done.stdout, re.MULTILINE))
    assert len(found) == 12, done.stdout
    for name, dots in found.items():
        assert (int(dots) > 0) == (dotprod and re.match("integer|gemm many_rows Q", name) is not None), name
