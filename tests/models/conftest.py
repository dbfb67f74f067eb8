"""The tiny models of conformance/archs, written once a session."""

import sys
from pathlib import Path

import pytest
from on_backends import here

sys.path.append(str(Path(__file__).resolve().parents[2] / "conformance"))
import logits  # noqa: E402
import variants  # noqa: E402


@pytest.fixture(scope="session")
def open_case(tmp_path_factory):
    """name -> logits.Case"""
    folder = tmp_path_factory.mktemp("archs")
    return lambda name: logits.open_case(name, folder)


@pytest.fixture
def edited(tmp_path):
    """(skeleton name, {key: value, or None to drop}, {tensor: ne, or None to drop}) -> path of the GGUF so changed."""

    def write(name, kv=None, tensors=None):
        path = tmp_path / f"{name}.gguf"
        variants.write(variants.Variant(name, kv or {}, tensors or {}), path)
        return path

    return write


@pytest.fixture(autouse=True)
def emulated(request):
    """A test's parameter `backend` may be one that is emulated here."""
    with here(request.node.callspec.params.get("backend") if hasattr(request.node, "callspec") else None):
        yield
