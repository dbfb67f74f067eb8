"""What the writer writes: read back by the gguf package, and never half a file."""

import os
import resource

import gguf
import numpy as np
import pytest
from conftest import METADATA, write_example

from llamabox.gguf import GGMLType, GGUFError, GGUFWriter, ValueType, open_gguf


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("alignment", [32, 128])
def test_the_gguf_package_reads_it(tmp_path, tensors, byte_order, alignment):
    reader = gguf.GGUFReader(write_example(tmp_path / "x.gguf", byte_order, alignment))
    assert reader.endianess.name == byte_order.upper() and reader.alignment == alignment
    for key, value, type in METADATA:
        if isinstance(type, ValueType) and key != "test.empty":  # the package has no arrays in arrays
            assert reader.get_field(key).contents() == value, key
    assert [t.name for t in reader.tensors] == list(tensors)
    for tensor in reader.tensors:
        data, type = tensors[tensor.name]
        assert (tensor.data_offset % alignment, int(tensor.tensor_type)) == (0, type)
        assert tuple(tensor.shape[::-1]) == open_gguf(tmp_path / "x.gguf").tensors[tensor.name].shape
        if byte_order == "little":
            np.testing.assert_array_equal(np.asarray(tensor.data).view(data.dtype).reshape(data.shape), data)


def test_types_chosen_for_values(tmp_path):
    values = {
        "bool": (True, (ValueType.BOOL,)),
        "count": (3, (ValueType.UINT32,)),
        "negative": (-3, (ValueType.INT32,)),
        "large": (2**40, (ValueType.UINT64,)),
        "large negative": (-(2**40), (ValueType.INT64,)),
        "float": (0.5, (ValueType.FLOAT32,)),
        "numpy float": (np.float64(0.5), (ValueType.FLOAT32,)),
        "numpy int": (np.int16(5), (ValueType.UINT32,)),
        "text": ("x", (ValueType.STRING,)),
        "ints": ([1, -2], (ValueType.ARRAY, ValueType.INT32)),
        "large ints": ([1, 2**31], (ValueType.ARRAY, ValueType.UINT32)),
        "larger ints": ([-1, 2**31], (ValueType.ARRAY, ValueType.INT64)),
        "floats": ([1.0, 2.5], (ValueType.ARRAY, ValueType.FLOAT32)),
        "texts": (["x", ""], (ValueType.ARRAY, ValueType.STRING)),
        "bools": ([True], (ValueType.ARRAY, ValueType.BOOL)),
        "array": (np.array([1, 2], np.uint8), (ValueType.ARRAY, ValueType.UINT8)),
        "lists": ([[1], [2, 3]], (ValueType.ARRAY, ValueType.ARRAY, ValueType.INT32)),
    }
    writer = GGUFWriter(tmp_path / "x.gguf", None)
    for key, (value, _) in values.items():
        writer.add(key, value)
    writer.write()
    file = open_gguf(tmp_path / "x.gguf")
    assert file.value_types == {key: type for key, (_, type) in values.items()}
    assert file.metadata["larger ints"].tolist() == [-1, 2**31] and file.metadata["numpy int"] == 5


@pytest.mark.parametrize(
    "value, type, message",
    [
        (256, ValueType.UINT8, "256.* does not fit UINT8"),
        (-1, ValueType.UINT32, "-1.* does not fit UINT32"),
        (0.5, ValueType.INT32, "0.5.* does not fit INT32"),
        ("text", ValueType.INT32, "'text'.* cannot be stored as INT32"),
        (2**70, ValueType.UINT64, "cannot be stored as UINT64"),
        (1, ValueType.STRING, "1 is no string"),
        (["a", 1], ValueType.STRING, "1 is no string"),
        (["a", 1], None, "items of several types"),
        ([], None, "the item type of an empty list must be given"),
        ({}, None, "a dict cannot be stored"),
        (None, None, "a NoneType cannot be stored"),
        (np.zeros((2, 2), np.float32), None, "an array of float32 with 2 axes cannot be stored"),
        (3, (ValueType.ARRAY, ValueType.INT32), "does not fit 3"),
    ],
)
def test_values_that_do_not_fit(tmp_path, value, type, message):
    with pytest.raises(GGUFError, match=f"metadata key: .*{message}"):
        GGUFWriter(tmp_path / "x.gguf", None).add("key", value, type)


def test_what_cannot_be_added(tmp_path):
    writer, row = GGUFWriter(tmp_path / "x.gguf", "llama"), np.zeros(4, np.float32)
    writer.add_tensor("t", row)
    for match, call in {
        "'general.architecture' is added twice": lambda: writer.add("general.architecture", "x"),
        "key '' is empty": lambda: writer.add("", 1),
        "tensor 't' is added twice": lambda: writer.add_tensor("t", row),
        "must have 1 to 159 bytes": lambda: writer.add_tensor("n" * 160, row),
        "has 5 axes, expected at most 4": lambda: writer.add_tensor("axes", np.zeros((1,) * 5, np.float32)),
        "data of uint8 needs its type": lambda: writer.add_tensor("u", np.zeros(18, np.uint8)),
        "no whole number of Q4_0 blocks": lambda: writer.add_tensor("q", np.zeros(17, np.uint8), GGMLType.Q4_0),
        "needs its type and shape": lambda: writer.add_tensor("later", lambda: row),
        r"shape is \(4,\), expected \(5,\)": lambda: writer.add_tensor("s", row, shape=(5,)),
        "alignment is 48": lambda: GGUFWriter(tmp_path / "y.gguf", None, alignment=48),
        "byte order is 'middle'": lambda: GGUFWriter(tmp_path / "y.gguf", None, byte_order="middle"),
    }.items():
        with pytest.raises(GGUFError, match=match):
            call()


def test_data_made_later_is_checked(tmp_path):
    path = tmp_path / "x.gguf"
    writer = GGUFWriter(path, None).add_tensor("t", lambda: np.zeros((2, 34), np.uint8), GGMLType.Q8_0, (2, 64))
    with pytest.raises(GGUFError, match=r"tensor 't' \(Q8_0\): data is uint8 \(2, 34\), expected uint8 \(2, 68\)"):
        writer.write()
    assert list(tmp_path.iterdir()) == []


def test_strided_data(tmp_path):
    data = np.arange(24, dtype=np.float32).reshape(4, 6)
    GGUFWriter(tmp_path / "x.gguf", None).add_tensor("t", data.T[::2]).write()
    np.testing.assert_array_equal(open_gguf(tmp_path / "x.gguf").tensors["t"].data, data.T[::2])


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.gguf"
    GGUFWriter(path, None).add("old", True).write()
    writer = GGUFWriter(path, None).add_tensor("t", np.zeros(1 << 20, np.float32))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(GGUFError, match=r"cannot write .*x.gguf: File too large"):
            writer.write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["x.gguf"]
    assert open_gguf(path).metadata == {"old": True}


def test_an_interruption_leaves_nothing(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    writer = GGUFWriter(tmp_path / "x.gguf", None).add_tensor("t", interrupted, GGMLType.F32, (4,))
    with pytest.raises(KeyboardInterrupt):
        writer.write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_absent(tmp_path):
    with pytest.raises(GGUFError, match="cannot write .*/none/x.gguf: No such file or directory"):
        GGUFWriter(tmp_path / "none" / "x.gguf", None).write()


def test_the_file_replaces_one_that_is_open(tmp_path):
    """As when a model is quantised onto itself: the open file keeps its bytes."""
    path = write_example(tmp_path / "x.gguf")
    old = open_gguf(path)
    before = old.tensors["F32"].data.copy()
    GGUFWriter(path, None).add("new", 1).write()
    np.testing.assert_array_equal(old.tensors["F32"].data, before)
    assert open_gguf(path).metadata == {"new": 1}
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
