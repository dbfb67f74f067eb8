"""The CUDA sources are those that NVIDIA's compiler took (conformance/cuda_sources.py), without spilled registers."""

import json
import sys
from pathlib import Path

CONFORMANCE = Path(__file__).resolve().parents[2] / "conformance"
sys.path.append(str(CONFORMANCE))
import cuda_sources  # noqa: E402


def test_every_source_was_compiled_as_it_is_now():
    stored = json.loads((CONFORMANCE / "results" / "cuda_sources.json").read_text())
    assert stored["digests"] == cuda_sources.digests(), "run conformance/cuda_sources.py again"
    assert set(stored["results"]) == set(cuda_sources.ARCHS)
    for arch, found in stored["results"].items():
        assert set(found) == set(stored["digests"]), arch
        assert all(
            kernels > 0 and 0 < registers < 255 and spilled == 0 for kernels, registers, spilled in found.values()
        )
