"""Models in several files: NAME-00001-of-00003.gguf and so on, the first of which is given."""

import re
from pathlib import Path

from llamabox.gguf.errors import GGUFError
from llamabox.gguf.parse import Head

SPLIT_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)


def part_paths(head: Head) -> list[Path]:
    """The paths of the parts after the first, [] for a model in one file. Errors: GGUFError."""
    count = _split_number(head, "split.count", default=0)
    if count <= 1:
        return []
    number = _split_number(head, "split.no")
    if number != 0:
        raise GGUFError(f"{head.path}: this is part {number + 1} of {count}; give the first part")
    match = SPLIT_NAME.fullmatch(head.path.name)
    if match is None or int(match[2]) != 1 or int(match[3]) != count:
        raise GGUFError(f"{head.path}: part 1 of {count} must be named like NAME-00001-of-{count:05d}.gguf")
    paths = [head.path.with_name(f"{match[1]}-{i + 1:05d}-of-{count:05d}.gguf") for i in range(1, count)]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise GGUFError(f"{head.path}: part {missing.name} of {count} is missing")
    return paths


def check_part(part: Head, index: int) -> None:
    """Raise GGUFError unless `part` says that it is part `index` (from 0)."""
    number = _split_number(part, "split.no")
    if number != index:
        raise GGUFError(f"{part.path}: it says that it is part {number + 1}, expected part {index + 1}")


def check_tensor_count(first: Head, n_tensors: int) -> None:
    """Raise GGUFError unless all parts together hold as many tensors as the first part promises."""
    promised = _split_number(first, "split.tensors.count")
    if promised != n_tensors:
        raise GGUFError(f"{first.path}: split.tensors.count is {promised}, the parts hold {n_tensors} tensors")


def _split_number(head, key, default=None):
    value = head.metadata.get(key, default)
    if type(value) is not int or not 0 <= value < 2**31:
        found = "missing" if value is None else f"{value!r}"
        raise GGUFError(f"{head.path}: {key} is {found}, expected a whole number")
    return value
