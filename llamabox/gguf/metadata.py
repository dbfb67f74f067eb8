"""Reads the key-value pairs of a GGUF file.

pair:   key (string), value type (u32), value
array:  item type (u32), count (u64), items; an item may itself be an array
"""

import numpy as np

from llamabox.gguf.cursor import Cursor
from llamabox.gguf.errors import GGUFError, quoted
from llamabox.gguf.types import VALUE_DTYPES, ValueType

MIN_PAIR_BYTES = 14  # key length, a key of one byte, value type, a value of one byte
MIN_ARRAY_BYTES = 12  # item type, count
MAX_DEPTH = 8  # of arrays in arrays


def read_metadata(cursor: Cursor, count: int, order: str) -> tuple[dict, dict]:
    """The `count` pairs at the cursor: {key: value} and {key: (type,) or (ARRAY, ..., item type)}.

    Values are Python scalars, str, read-only NumPy arrays, or lists (of str, or of arrays). A nested array's type is
    that of its first item all the way down. Errors: GGUFError.
    """
    if count * MIN_PAIR_BYTES > cursor.remaining:
        raise GGUFError(f"{cursor.path}: the header promises {count} metadata pairs, {cursor.remaining} bytes are left")
    values, types = {}, {}
    for i in range(count):
        key = cursor.string(f"metadata key {i}")
        if not key:
            raise GGUFError(f"{cursor.path}: metadata key {i} is empty")
        if key in values:
            raise GGUFError(f"{cursor.path}: metadata key {quoted(key)} appears twice")
        values[key], types[key] = _read_value(cursor, f"metadata {quoted(key)}", order)
    return values, types


def _read_value(cursor, what, order):
    kind = _read_type(cursor, what)
    if kind == ValueType.ARRAY:
        value, item_types = _read_array(cursor, what, order, depth=1)
        return value, (kind, *item_types)
    if kind == ValueType.STRING:
        return cursor.string(what), (kind,)
    return _read_numbers(cursor, what, kind, 1, order)[0].item(), (kind,)


def _read_type(cursor, what):
    number = cursor.u32(what)
    try:
        return ValueType(number)
    except ValueError:
        raise GGUFError(f"{cursor.path}: {what} has value type {number}, known are 0 to {max(ValueType)}") from None


def _read_array(cursor, what, order, depth):
    if depth > MAX_DEPTH:
        raise GGUFError(f"{cursor.path}: {what} nests arrays more than {MAX_DEPTH} deep")
    kind = _read_type(cursor, what)
    count = cursor.u64(what)
    if kind == ValueType.STRING:
        return cursor.strings(count, what), (kind,)
    if kind != ValueType.ARRAY:
        return _read_numbers(cursor, what, kind, count, order), (kind,)
    cursor.need(count * MIN_ARRAY_BYTES, what)
    items = [_read_array(cursor, what, order, depth + 1) for _ in range(count)]
    return [value for value, _ in items], (kind, *(items[0][1] if items else ()))


def _read_numbers(cursor, what, kind, count, order):
    """The next `count` numbers or bools as a read-only array of their own."""
    dtype = VALUE_DTYPES[kind]
    raw = cursor.bytes(count * dtype.itemsize, what)
    if kind == ValueType.BOOL:
        numbers = np.frombuffer(raw, np.uint8) != 0
    else:
        numbers = np.frombuffer(raw, dtype.newbyteorder(order)).astype(dtype, copy=False)
    numbers.setflags(write=False)
    return numbers
