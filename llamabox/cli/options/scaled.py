"""Parsers of files with scales, for adapters and control vectors: each gives a tuple of (path, scale) pairs."""

import csv
import re

from llamabox.cli.options.parsers import Number

Scaled = tuple[tuple[str, float], ...]


def files(text: str) -> Scaled:
    """FILE or FILE,FILE,...; a name with a comma in double quotes."""
    return tuple((path, 1.0) for path in _names(text))


def scaled_files(text: str) -> Scaled:
    """FILE:SCALE or FILE:SCALE,FILE:SCALE,..., as llama-server takes them."""
    pairs = []
    for name in _names(text):
        match = re.fullmatch(r"(.+):([^:]+)", name)
        if match is None:
            raise ValueError("FILE:SCALE")
        pairs.append((match[1], Number()(match[2])))
    return tuple(pairs)


def _names(text: str) -> list[str]:
    try:
        names = next(csv.reader([text], strict=True), [])
    except csv.Error:
        names = []
    if not names or not all(names):
        raise ValueError("comma-separated paths, none of them empty")
    return names
