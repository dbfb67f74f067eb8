"""How weights are held: mapped, in anonymous memory, or locked, as the system sees it."""

import ctypes
import errno
import logging
import sys

import numpy as np
import pytest

from llamabox.gguf import GGUFError, GGUFWriter, open_gguf
from llamabox.gguf.hold import map_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.gguf"
    GGUFWriter(path, "test").add_tensor("t", np.arange(10_000, dtype=np.float32)).write()
    return path


def mapping_of(array):
    """The line of /proc/self/maps that holds the array's first byte."""
    address = array.ctypes.data
    with open("/proc/self/maps") as maps:
        for line in maps:
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            if start <= address < end:
                return line
    raise LookupError(address)


def locked_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmLck"))


def test_mapped(weights):
    tensor = open_gguf(weights, mmap=True).tensors["t"]
    line = mapping_of(tensor.data)
    assert str(weights) in line and line.split()[1].startswith("r--")


def test_in_anonymous_memory(weights):
    tensor = open_gguf(weights, mmap=False).tensors["t"]
    line = mapping_of(tensor.data)
    assert str(weights) not in line and line.split()[1].endswith("p")  # private
    np.testing.assert_array_equal(tensor.data, np.arange(10_000))
    assert not tensor.data.flags.writeable
    with pytest.raises(ValueError):
        tensor.data.setflags(write=True)
    weights.write_bytes(b"")  # the file is not needed any more
    assert tensor.data[9_999] == 9_999


@pytest.mark.parametrize("mmap", [True, False])
def test_locked(weights, mmap):
    before = locked_kb()
    file = open_gguf(weights, mmap=mmap, mlock=True)
    assert locked_kb() >= before + 40  # 40,000 bytes
    del file
    assert locked_kb() <= before
    assert open_gguf(weights, mmap=mmap).tensors["t"].data[1] == 1
    assert locked_kb() <= before


def test_a_refused_lock_is_one_warning(weights, monkeypatch, caplog):
    class Refusing:
        def __init__(self, *args, **kwargs):
            pass

        def mlock(self, address, size):
            ctypes.set_errno(errno.ENOMEM)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Refusing)
    first = weights.rename(weights.with_name("weights-00001-of-00002.gguf"))
    for i in range(2):
        part = GGUFWriter(first.with_name(f"weights-0000{i + 1}-of-00002.gguf"), None)
        for key, value in {"split.no": i, "split.count": 2, "split.tensors.count": 2}.items():
            part.add(key, value)
        part.add_tensor(f"t{i}", np.arange(10_000, dtype=np.float32)).write()
    with caplog.at_level(logging.WARNING):
        file = open_gguf(first, mlock=True)
    assert file.tensors["t1"].data[5] == 5
    [record] = caplog.records
    assert "cannot lock 40000 bytes in memory (Cannot allocate memory)" in record.getMessage()
    assert "RLIMIT_MEMLOCK" in record.getMessage() and str(first) in record.getMessage()


def test_a_file_that_shrinks_while_it_is_read(weights, monkeypatch):
    from llamabox.gguf import reader

    def map_then_cut(path):
        mapped = map_file(path)
        parsed = bytes(mapped)
        path.write_bytes(parsed[:1000])
        return parsed

    monkeypatch.setattr(reader, "map_file", map_then_cut)
    with pytest.raises(GGUFError, match="the file ended at byte 1000 while it was read, expected 40"):
        open_gguf(weights, mmap=False)


def test_tensor_data_is_read_only(example):
    for tensor in open_gguf(example).tensors.values():
        with pytest.raises(ValueError, match="read-only"):
            tensor.data[...] = 0


def test_arrays_in_metadata_are_read_only(example):
    with pytest.raises(ValueError, match="read-only"):
        open_gguf(example).metadata["test.int32s"][0] = 9
