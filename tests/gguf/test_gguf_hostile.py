"""Truncated, corrupted and hostile files: each is read or refused with one GGUFError, in bounded time and memory."""

import os
import struct
import time
import tracemalloc

import numpy as np
import pytest
from conftest import write_example

from llamabox.gguf import GGMLType, GGUFError, GGUFFile, ValueType, dequantize, open_gguf

U32, U64 = struct.Struct("<I"), struct.Struct("<Q")
HUGE = [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**61, 2**62 + 1, 2**63 - 1, 2**63, 2**64 - 1]
MEMORY_LIMIT = 4 << 20  # bytes, for files of a few kilobytes
TIME_LIMIT = 1.0  # CPU seconds


def string(text):
    raw = text.encode()
    return U64.pack(len(raw)) + raw


def head(n_tensors=0, n_pairs=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_pairs)


def pair(key, kind, value):
    return string(key) + U32.pack(kind) + value


def tensor(name="t", ne=(4,), type=GGMLType.F32, offset=0, n_axes=None):
    axes = U32.pack(len(ne) if n_axes is None else n_axes) + b"".join(U64.pack(n) for n in ne)
    return string(name) + axes + struct.pack("<IQ", type, offset)


def padded(data, alignment=32):
    return data + bytes(-len(data) % alignment)


def one_tensor(n_bytes=16, **description):
    return padded(head(1) + tensor(**description)) + bytes(n_bytes)


def read_within_bounds(path):
    """Open a file and touch every value; None when it is refused. Fails when that costs too much."""
    tracemalloc.start()
    start = time.process_time()
    try:
        file = open_gguf(path)
        for found in file.tensors.values():
            assert found.data.nbytes <= path.stat().st_size
            if found.data.dtype == np.uint8 or found.type.dtype == np.float32:
                with np.errstate(all="ignore"):
                    dequantize(found.data, found.type)
    except GGUFError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        file = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY_LIMIT, f"{peak} bytes"
    assert time.process_time() - start < TIME_LIMIT
    return file


def mutations(data, n):
    """n changed copies of a file, from a seed: flipped bits, truncations, huge numbers, bytes taken out or put in."""
    rng = np.random.default_rng(20261123)
    for i in range(n):
        changed, at = bytearray(data), int(rng.integers(len(data)))
        kind = ("bit", "cut", "number", "random", "remove", "insert")[i % 6]
        if kind == "bit":
            for place in rng.integers(0, len(data), rng.integers(1, 4)):
                changed[place] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            del changed[at:]
        elif kind == "number":
            changed[at : at + 8] = U64.pack(HUGE[int(rng.integers(len(HUGE)))])
        elif kind == "random":
            changed[at : at + 8] = rng.bytes(8)
        elif kind == "remove":
            del changed[at : at + int(rng.integers(1, 40))]
        else:
            changed[at:at] = rng.bytes(int(rng.integers(1, 40)))
        yield bytes(changed)


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_mutations_of_a_whole_head(tmp_path, byte_order):
    source = write_example(tmp_path / "source.gguf", byte_order)
    start = min(t.start for t in _infos(source))
    path = tmp_path / "mutation.gguf"
    data = source.read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for changed in mutations(data[:start], 420):  # the tensor data, as it was, follows whatever the head became
        path.write_bytes(changed + data[start:])
        outcomes["refused" if read_within_bounds(path) is None else "read"] += 1
    assert outcomes["refused"] > 200 and outcomes["read"] > 20, outcomes


def _infos(path):
    from llamabox.gguf.parse import parse_head

    return parse_head(path.read_bytes(), path).tensors


def test_every_truncation_of_a_small_file(tmp_path):
    whole = padded(
        head(1, 2) + pair("a", ValueType.STRING, string("text")) + pair("b", ValueType.UINT32, U32.pack(1)) + tensor()
    )
    path = tmp_path / "cut.gguf"
    for end in range(len(whole) + 16):
        path.write_bytes((whole + bytes(16))[:end])
        assert read_within_bounds(path) is None, end
    path.write_bytes(whole + bytes(16))
    assert isinstance(read_within_bounds(path), GGUFFile)


@pytest.mark.parametrize("count", HUGE)
def test_huge_counts(tmp_path, count):
    files = {
        "tensors": head(count),
        "pairs": head(0, count),
        "key": head(0, 1) + U64.pack(count) + b"key",
        "string": head(0, 1) + pair("k", ValueType.STRING, U64.pack(count) + b"text"),
        "numbers": head(0, 1) + pair("k", ValueType.ARRAY, struct.pack("<IQ", ValueType.UINT64, count)),
        "bools": head(0, 1) + pair("k", ValueType.ARRAY, struct.pack("<IQ", ValueType.BOOL, count)),
        "strings": head(0, 1) + pair("k", ValueType.ARRAY, struct.pack("<IQ", ValueType.STRING, count)),
        "arrays": head(0, 1) + pair("k", ValueType.ARRAY, struct.pack("<IQ", ValueType.ARRAY, count)),
        "size": one_tensor(ne=(count,)),
        "sizes": one_tensor(ne=(count, count, count, count)),
        "size and nothing": one_tensor(ne=(count, 0)),
        "offset": one_tensor(offset=count),
        "axes": one_tensor(n_axes=max(5, count % 2**32)),
    }
    for name, data in files.items():
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(data + bytes(64))
        file = read_within_bounds(path)
        assert file is None or name == "size and nothing", name


def test_products_that_overflow_64_bits(tmp_path):
    path = tmp_path / "x.gguf"
    for ne in [(2**32, 2**32), (2**16,) * 4, (2**62, 4), (2**63 + 4, 2), (2**31, 2**31, 4)]:
        path.write_bytes(one_tensor(ne=ne))
        with pytest.raises(GGUFError, match="bytes"):
            open_gguf(path)


def test_arrays_in_arrays_in_arrays(tmp_path):
    path = tmp_path / "x.gguf"
    for depth in (2, 7, 8, 9, 5000):
        value = struct.pack("<IQ", ValueType.ARRAY, 1) * (depth - 1) + struct.pack("<IQ", ValueType.UINT8, 0)
        path.write_bytes(head(0, 1) + pair("deep", ValueType.ARRAY, value))
        assert (read_within_bounds(path) is None) == (depth > 8), depth


REFUSED = {
    "not a GGUF file: it starts with b'GGML', expected b'GGUF'": b"GGML" + bytes(60),
    "not a GGUF file: it starts with b''": b"",
    "ends after 6 bytes": b"GGUF\x03\x00",
    "metadata key 1 is empty": head(0, 2) + pair("a", ValueType.UINT8, b"1") + pair("", ValueType.UINT8, b"1" * 14),
    "metadata key 'a' appears twice": head(0, 2) + pair("a", ValueType.UINT8, b"1") * 2,
    "metadata 'a' has value type 13": head(0, 1) + pair("a", 13, b"12345678"),
    "general.alignment is 0": head(0, 1) + pair("general.alignment", ValueType.UINT32, U32.pack(0)),
    "general.alignment is 48": head(0, 1) + pair("general.alignment", ValueType.UINT32, U32.pack(48)),
    "general.alignment is 64": head(0, 1) + pair("general.alignment", ValueType.UINT64, U64.pack(64)),
    "the name of tensor 0 is longer than 159 bytes": one_tensor(name="n" * 160),
    "tensor 't' has 5 axes": one_tensor(ne=(1,) * 5),
    "tensor 't' has type 31": one_tensor(type=31),
    "tensor 't' has type 4294967295": one_tensor(type=2**32 - 1),
    "tensor 't' has offset 8, expected a multiple of 32": one_tensor(offset=8, n_bytes=64),
    "tensor 't': a row of 33 values is not a multiple of Q8_0's block": one_tensor(ne=(33,), type=GGMLType.Q8_0),
    "is it truncated": one_tensor(n_bytes=15),
    "tensor 't' appears twice": padded(head(2) + tensor() + tensor(offset=32)) + bytes(64),
    "tensors 'a' and 'b' overlap": padded(head(2) + tensor("a", (16,)) + tensor("b", offset=32)) + bytes(64),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused_is_named(tmp_path, message):
    path = tmp_path / "x.gguf"
    path.write_bytes(REFUSED[message])
    with pytest.raises(GGUFError) as error:
        open_gguf(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_a_folder_and_a_pipe_are_no_files(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe):
        with pytest.raises(GGUFError, match="not a regular file"):
            open_gguf(path)
