"""Files of every shape: written by the gguf package and by ourselves, both versions and byte orders, in parts."""

import argparse
import struct
import time

import gguf
import numpy as np
import pytest
from conftest import METADATA, write_example
from gguf.scripts.gguf_convert_endian import convert_byteorder

from llamabox.gguf import GGMLType, GGUFError, GGUFWriter, ValueType, open_gguf


def plain(value):
    """Arrays as lists, so that values compare."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("alignment", [1, 32, 256])
def test_round_trip(tmp_path, tensors, byte_order, alignment):
    file = open_gguf(write_example(tmp_path / "x.gguf", byte_order, alignment))
    assert (file.version, file.byte_order) == (3, byte_order)
    for key, value, type in METADATA:
        assert plain(file.metadata[key]) == value and builtin(file.metadata[key]) is builtin(value), key
        expected = type if isinstance(type, tuple) else (ValueType.ARRAY, type) if isinstance(value, list) else (type,)
        assert file.value_types[key] == expected, key
    assert list(file.tensors) == list(tensors)
    for name, (data, type) in tensors.items():
        tensor = file.tensors[name]
        assert tensor.type == type
        assert tensor.data.dtype == data.dtype and tensor.data.dtype.isnative
        np.testing.assert_array_equal(tensor.data, data, err_msg=name)
        assert not tensor.data.flags.writeable
        assert tensor.shape == data.shape if type.dtype is not None else (2, 3, 256)


def builtin(value):
    """The Python type of a scalar; arrays and lists count as list."""
    return list if isinstance(value, np.ndarray) else type(value)


def test_reads_what_the_gguf_package_writes(tmp_path):
    path, rng = tmp_path / "peer.gguf", np.random.default_rng(0)
    matrix = rng.standard_normal((4, 64)).astype(np.float32)
    blocks = gguf.quants.quantize(matrix, gguf.GGMLQuantizationType.Q8_0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 7)
    writer.add_float32("llama.rope.freq_base", 1e6)
    writer.add_token_list(["a", b"\xff\xfe", "c"])
    writer.add_token_types([1, 2, 3])
    writer.add_tensor("matrix", matrix)
    writer.add_tensor("blocks", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = open_gguf(path)
    assert file.metadata["llama.block_count"] == 7 and file.metadata["llama.rope.freq_base"] == 1e6
    assert file.metadata["tokenizer.ggml.tokens"] == ["a", "\udcff\udcfe", "c"]
    assert file.metadata["tokenizer.ggml.tokens"][1].encode("utf-8", "surrogateescape") == b"\xff\xfe"
    assert file.metadata["tokenizer.ggml.token_type"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(file.tensors["matrix"].data, matrix)
    np.testing.assert_array_equal(file.tensors["blocks"].data, blocks)
    assert file.tensors["blocks"].shape == (4, 64) and file.tensors["blocks"].type == GGMLType.Q8_0


def test_reads_what_the_gguf_packages_byte_order_tool_writes(tmp_path, tensors, monkeypatch):
    path, known = tmp_path / "big.gguf", ("F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K", "Q6_K", "MXFP4")
    writer = GGUFWriter(path, "test").add("test.numbers", [1, 2, 3]).add("test.text", "text")
    for name in known:
        writer.add_tensor(name, tensors[name][0], tensors[name][1])
    writer.write()
    monkeypatch.setattr("builtins.input", lambda prompt: "YES")
    convert_byteorder(gguf.GGUFReader(path, "r+"), argparse.Namespace(order="big", dry_run=False))
    file = open_gguf(path)
    assert file.byte_order == "big"
    assert file.metadata["test.numbers"].tolist() == [1, 2, 3] and file.metadata["test.text"] == "text"
    for name in known:
        np.testing.assert_array_equal(file.tensors[name].data, tensors[name][0], err_msg=name)


def test_big_endian_types_without_a_defined_form_are_refused(tmp_path):
    blocks = np.zeros((1, GGMLType.IQ2_XXS.type_size), np.uint8)
    with pytest.raises(GGUFError, match="IQ2_XXS has no big-endian form"):
        GGUFWriter(tmp_path / "x.gguf", "test", byte_order="big").add_tensor("x", blocks, GGMLType.IQ2_XXS).write()
    path = tmp_path / "y.gguf"
    GGUFWriter(path, None, byte_order="big").add_tensor("x", np.zeros((1, 33), np.int16)).write()
    data = path.read_bytes()
    as_iq2 = data.replace(struct.pack(">QQI", 33, 1, GGMLType.I16), struct.pack(">QQI", 256, 1, GGMLType.IQ2_XXS))
    path.write_bytes(as_iq2)
    with pytest.raises(GGUFError, match="tensor 'x': IQ2_XXS has no big-endian form"):
        open_gguf(path)


def test_version_2_reads_as_version_3(example):
    data = bytearray(example.read_bytes())
    data[4:8] = struct.pack("<I", 2)
    example.write_bytes(data)
    assert open_gguf(example).version == 2


@pytest.mark.parametrize("version", [0, 1, 4, 2**31])
def test_other_versions_are_refused(example, version):
    data = bytearray(example.read_bytes())
    data[4:8] = struct.pack("<I", version)
    example.write_bytes(data)
    with pytest.raises(GGUFError, match=r"example.gguf: GGUF version \d+ is not supported, expected 2 or 3"):
        open_gguf(example)


def test_a_scalar_and_an_empty_tensor(tmp_path):
    path = tmp_path / "x.gguf"
    writer = GGUFWriter(path, None).add_tensor("scalar", np.float32(2).reshape(()))
    writer.add_tensor("row", np.ones(3, np.int8)).add_tensor("empty", np.zeros((0, 4), np.float32)).write()
    file = open_gguf(path)
    assert file.tensors["scalar"].shape == () and file.tensors["scalar"].data == 2
    assert file.tensors["empty"].shape == (0, 4) and file.tensors["empty"].nbytes == 0
    assert file.metadata == {}


def test_a_large_vocabulary_opens_in_under_300_ms(tmp_path):
    path, n = tmp_path / "vocabulary.gguf", 152_000
    tokens = [f"Ġtoken{i}" for i in range(n)]
    merges = [f"Ġto ken{i}" for i in range(n)]
    writer = GGUFWriter(path, "test").add("tokenizer.ggml.tokens", tokens).add("tokenizer.ggml.merges", merges)
    writer.add("tokenizer.ggml.token_type", np.ones(n, np.int32)).write()
    times = []
    for _ in range(5):
        start = time.process_time()  # other programs may be running
        file = open_gguf(path)
        times.append(time.process_time() - start)
    assert file.metadata["tokenizer.ggml.tokens"] == tokens and file.metadata["tokenizer.ggml.merges"] == merges
    assert min(times) < 0.3


def split_model(folder, parts=3, counts=None, numbers=None, promised=None):
    """Write a model in parts, two tensors each; the arguments change what the parts say of themselves."""
    for i in range(parts):
        writer = GGUFWriter(folder / f"m-{i + 1:05d}-of-{parts:05d}.gguf", "test" if i == 0 else None)
        writer.add("split.no", numbers[i] if numbers else i, ValueType.UINT16)
        writer.add("split.count", counts[i] if counts else parts, ValueType.UINT16)
        writer.add("split.tensors.count", 2 * parts if promised is None else promised, ValueType.INT32)
        for j in range(2):
            writer.add_tensor(f"t{2 * i + j}", np.full((2, 2), 2 * i + j, np.float32))
        writer.write()
    return folder / f"m-00001-of-{parts:05d}.gguf"


def test_a_split_model(tmp_path):
    file = open_gguf(split_model(tmp_path))
    assert list(file.tensors) == [f"t{i}" for i in range(6)]
    assert all((tensor.data == i).all() for i, tensor in enumerate(file.tensors.values()))
    assert file.metadata["general.architecture"] == "test"


def test_a_missing_part_is_named(tmp_path):
    first = split_model(tmp_path)
    (tmp_path / "m-00002-of-00003.gguf").unlink()
    with pytest.raises(GGUFError, match="part m-00002-of-00003.gguf of 3 is missing"):
        open_gguf(first)


def test_another_part_than_the_first_is_refused(tmp_path):
    split_model(tmp_path)
    with pytest.raises(GGUFError, match="this is part 2 of 3; give the first part"):
        open_gguf(tmp_path / "m-00002-of-00003.gguf")


def test_parts_that_contradict_each_other(tmp_path):
    first = split_model(tmp_path, numbers=[0, 2, 1])
    with pytest.raises(GGUFError, match="it says that it is part 3, expected part 2"):
        open_gguf(first)
    with pytest.raises(GGUFError, match="split.tensors.count is 7, the parts hold 6 tensors"):
        open_gguf(split_model(tmp_path, promised=7))
    with pytest.raises(GGUFError, match="part 1 of 4 must be named like NAME-00001-of-00004.gguf"):
        open_gguf(split_model(tmp_path, counts=[4, 4, 4]))
    renamed = tmp_path / "model.gguf"
    split_model(tmp_path).rename(renamed)
    with pytest.raises(GGUFError, match="must be named like"):
        open_gguf(renamed)


def test_a_tensor_in_two_parts_is_refused(tmp_path):
    first = split_model(tmp_path, parts=2)
    second = tmp_path / "m-00002-of-00002.gguf"
    second.write_bytes(second.read_bytes().replace(b"t2", b"t0"))
    with pytest.raises(GGUFError, match="tensor 't0' is in an earlier part too"):
        open_gguf(first)


def test_a_file_that_is_absent():
    with pytest.raises(FileNotFoundError):
        open_gguf("/nonexistent/model.gguf")
