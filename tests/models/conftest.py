"""The tiny models of conformance/archs, written once a session."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "conformance"))
import logits  # noqa: E402
import materialize  # noqa: E402


@pytest.fixture(scope="session")
def open_case(tmp_path_factory):
    """name -> logits.Case"""
    folder = tmp_path_factory.mktemp("archs")
    return lambda name: logits.open_case(name, folder)


@pytest.fixture
def edited(tmp_path):
    """(skeleton name, {key: value or None to drop}, {tensor: ne or None to drop}) -> path of the GGUF so changed."""

    def write(name, kv=(), tensors=()):
        kv, tensors = dict(kv), dict(tensors)
        skeleton = materialize.load_skeleton(logits.ARCHS / "skeletons" / f"{name}.json")
        types = {entry[0]: entry[1] for entry in skeleton["kv"]}
        skeleton["kv"] = [entry for entry in skeleton["kv"] if entry[0] not in kv]
        for key, value in kv.items():
            if isinstance(value, list):
                skeleton["kv"].append([key, "ARRAY", "BOOL" if isinstance(value[0], bool) else "UINT32", value])
            elif value is not None:
                skeleton["kv"].append([key, _type_of(value, types.get(key)), value])
        kinds = {entry[0]: entry[2] for entry in skeleton["tensors"]}
        skeleton["tensors"] = [entry for entry in skeleton["tensors"] if entry[0] not in tensors]
        for tensor, ne in tensors.items():
            if ne is not None:
                skeleton["tensors"].append([tensor, ne, kinds.get(tensor, "F32")])
        path = tmp_path / f"{name}.gguf"
        materialize.materialize(skeleton, path)
        return path

    return write


def _type_of(value, stored):
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, str):
        return "STRING"
    if isinstance(value, float):
        return "FLOAT32"
    return stored if value >= 0 and stored is not None else "INT32" if value < 0 else "UINT32"
