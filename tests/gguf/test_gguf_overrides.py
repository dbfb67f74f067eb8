"""KEY=TYPE:VALUE, and what it does to a file's metadata."""

import numpy as np
import pytest

from llamabox.gguf import GGUFError, Override, ValueType, open_gguf, parse_override


@pytest.mark.parametrize(
    "text, key, value",
    [
        ("llama.block_count=int:3", "llama.block_count", 3),
        ("a=int:-9223372036854775808", "a", -(2**63)),
        ("a=float:1e6", "a", 1e6),
        ("a=float:-0.5", "a", -0.5),
        ("a=bool:true", "a", True),
        ("a=bool:false", "a", False),
        ("a=str:text", "a", "text"),
        ("a=str:", "a", ""),
        ("a=str:x=y:z", "a", "x=y:z"),
    ],
)
def test_parse(text, key, value):
    override = parse_override(text)
    assert override == Override(key, value) and type(override.value) is type(value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is not of the form KEY=TYPE:VALUE"),
        ("a", "is not of the form"),
        ("a=int", "is not of the form"),
        ("=int:3", "is not of the form"),
        ("a=integer:3", "is not of the form"),
        ("a=int:3.5", "'3.5' is no int"),
        ("a=int:", "'' is no int"),
        ("a=int:9223372036854775808", "does not fit 64 bits"),
        ("a=float:x", "'x' is no float"),
        ("a=bool:1", "the value is '1', expected true or false"),
        ("k" * 128 + "=int:3", "the key is longer than 127 bytes"),
        ("a=str:" + "v" * 128, "the value is longer than 127 bytes"),
    ],
)
def test_what_is_no_override(text, message):
    with pytest.raises(GGUFError, match=message):
        parse_override(text)


def test_overrides_win_and_keys_are_added(example):
    overrides = ["test.uint32=int:7", Override("test.float32", 2.5), "test.string=str:new", "test.bool=bool:false"]
    file = open_gguf(example, overrides=[*overrides, "new.key=int:1", "new.float=float:1", "test.uint32=int:8"])
    assert (file.metadata["test.uint32"], file.metadata["test.float32"]) == (8, 2.5)  # the last of two wins
    assert (file.metadata["test.string"], file.metadata["test.bool"]) == ("new", False)
    assert (file.metadata["new.key"], file.metadata["new.float"]) == (1, 1.0)
    assert file.value_types["new.key"] == (ValueType.UINT32,) and file.value_types["new.float"] == (ValueType.FLOAT32,)
    assert file.value_types["test.uint32"] == (ValueType.UINT32,)
    assert open_gguf(example).metadata["test.uint32"] == 2**32 - 1


@pytest.mark.parametrize("text", ["test.uint32=float:7", "test.float32=int:1", "test.string=int:1", "test.bool=int:1"])
def test_an_override_of_another_type_is_refused(example, text):
    with pytest.raises(GGUFError, match=r"override of 'test\.\w+': the file holds \w+, the override is \w+"):
        open_gguf(example, overrides=[text])


def test_an_array_cannot_be_overridden(example):
    with pytest.raises(GGUFError, match="override of 'test.int32s': the file holds ARRAY, the override is int"):
        open_gguf(example, overrides=["test.int32s=int:1"])


@pytest.mark.parametrize("text", ["test.uint32=int:-1", "test.uint8=int:256", "test.int16=int:32768"])
def test_an_override_out_of_range_is_refused(example, text):
    with pytest.raises(GGUFError, match=r"override of 'test\.\w+': -?\d+ does not fit U?INT\d+"):
        open_gguf(example, overrides=[text])


def test_a_float_is_rounded_as_the_file_would_store_it(example):
    file = open_gguf(example, overrides=["test.float32=float:0.1", "test.float64=float:0.1"])
    assert file.metadata["test.float32"] == float(np.float32(0.1))
    assert file.metadata["test.float64"] == 0.1 != file.metadata["test.float32"]
