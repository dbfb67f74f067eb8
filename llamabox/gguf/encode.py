"""Metadata values -> bytes, the other direction of metadata.py."""

import struct
from typing import Any

import numpy as np

from llamabox.gguf.errors import GGUFError
from llamabox.gguf.types import VALUE_DTYPES, ValueType

DTYPE_TYPES = {dtype: type for type, dtype in VALUE_DTYPES.items()}


def encode_string(text: str, mark: str) -> bytes:
    """A 64-bit length and the bytes; `mark` is "<" (little-endian) or ">"."""
    raw = text.encode("utf-8", "surrogateescape")
    return struct.pack(mark + "Q", len(raw)) + raw


def value_type(key: str, value: Any, type: ValueType | tuple | None = None) -> tuple[ValueType, ...]:
    """The full type of a value: (UINT32,), (ARRAY, STRING), ...

    type: as in `GGUFFile.value_types`, or the type of a scalar or of an array's items, or None to choose: BOOL, STRING,
    FLOAT32, UINT32 (negative: INT32; 64 bits when needed), and for arrays their own dtype, or of a list's items INT32,
    FLOAT32, BOOL, STRING, UINT32 or INT64 when they need it.
    """
    is_array = isinstance(value, list | tuple | np.ndarray)
    if isinstance(type, tuple):
        if not type or (type[0] == ValueType.ARRAY) != is_array:
            raise GGUFError(f"metadata {key}: type {type} does not fit {value!r:.80}")
        return type
    if not is_array:
        return (_scalar_type(key, value),) if type is None else (type,)
    if isinstance(value, np.ndarray):
        return (ValueType.ARRAY, _array_type(key, value) if type is None else type)
    if value and isinstance(value[0], list | tuple | np.ndarray):
        return (ValueType.ARRAY, *value_type(key, value[0], type))
    return (ValueType.ARRAY, _item_type(key, value) if type is None else type)


def _scalar_type(key, value):
    if isinstance(value, bool | np.bool_):
        return ValueType.BOOL
    if isinstance(value, str):
        return ValueType.STRING
    if isinstance(value, int | np.integer):
        if value < 0:
            return ValueType.INT32 if value >= -(2**31) else ValueType.INT64
        return ValueType.UINT32 if value < 2**32 else ValueType.UINT64
    if isinstance(value, float | np.floating):
        return ValueType.FLOAT32
    expected = "bool, int, float, str or an array of them"
    raise GGUFError(f"metadata {key}: a {type(value).__name__} cannot be stored, expected {expected}")


def _array_type(key, value):
    found = DTYPE_TYPES.get(value.dtype)
    if found is None or value.ndim != 1:
        raise GGUFError(f"metadata {key}: an array of {value.dtype} with {value.ndim} axes cannot be stored")
    return found


def _item_type(key, items):
    if not items:
        raise GGUFError(f"metadata {key}: the item type of an empty list must be given")
    kinds = {_scalar_type(key, item) for item in items}
    if len(kinds) == 1 and kinds <= {ValueType.BOOL, ValueType.STRING, ValueType.FLOAT32}:
        return kinds.pop()
    if kinds <= {ValueType.UINT32, ValueType.INT32, ValueType.UINT64, ValueType.INT64}:
        low, high = min(items), max(items)
        if -(2**31) <= low and high < 2**31:
            return ValueType.INT32
        return ValueType.UINT32 if 0 <= low and high < 2**32 else ValueType.INT64
    raise GGUFError(f"metadata {key}: items of several types: {sorted(kind.name for kind in kinds)}")


def encode_value(key: str, value: Any, types: tuple[ValueType, ...], mark: str) -> bytes:
    """The bytes of a value of the full type `types`, without the leading type. GGUFError when it does not fit."""
    kind = types[0]
    if kind == ValueType.ARRAY:
        return _encode_array(key, value, types[1:], mark)
    if kind == ValueType.STRING:
        if not isinstance(value, str):
            raise GGUFError(f"metadata {key}: {value!r} is no string")
        return encode_string(value, mark)
    return _encode_numbers(key, [value], kind, mark)


def _encode_array(key, items, types, mark):
    kind = types[0]
    head = struct.pack(mark + "IQ", kind, len(items))
    if kind == ValueType.STRING:
        return head + _encode_strings(key, items, mark)
    if kind == ValueType.ARRAY:
        return head + b"".join(encode_value(key, item, types, mark) for item in items)
    return head + _encode_numbers(key, items, kind, mark)


def _encode_strings(key, items, mark):
    """Many strings at once: vocabularies hold hundreds of thousands."""
    wrong = next((item for item in items if not isinstance(item, str)), None)
    if wrong is not None:
        raise GGUFError(f"metadata {key}: {wrong!r} is no string")
    raw = [item.encode("utf-8", "surrogateescape") for item in items]
    pack = struct.Struct(mark + "Q").pack
    return b"".join([part for item in raw for part in (pack(len(item)), item)])


def _encode_numbers(key, numbers, kind, mark):
    dtype = VALUE_DTYPES[kind]
    given = np.asarray(numbers)
    if given.size and (given.dtype.kind not in "biuf" or given.ndim != 1):
        raise GGUFError(f"metadata {key}: {numbers!r:.80} cannot be stored as {kind.name}")
    if dtype.kind in "iu" and given.size:
        limits = np.iinfo(dtype)
        if given.dtype.kind == "f" or int(given.min()) < limits.min or int(given.max()) > limits.max:
            raise GGUFError(f"metadata {key}: {numbers!r:.80} does not fit {kind.name}")
    return given.astype(dtype).astype(dtype.newbyteorder(mark), copy=False).tobytes()
