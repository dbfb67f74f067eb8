"""Which files of a Hugging Face repository make a model: llama.cpp's choice by quantisation, and all parts of it."""

import re
from collections.abc import Iterable

from llamabox.cli.options import OptionError

PREFERRED = ("Q4_K_M", "Q8_0")  # without a wish; then the first file
OTHERS = ("mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-")  # GGUF files that are no model by themselves
PART = re.compile(r"^(.+)-([0-9]{5})-of-([0-9]{5})\.gguf$")


def choose_files(names: Iterable[str], quant: str | None, file: str | None) -> list[str]:
    """The files to load, the first part first.

    names  all of the repository
    quant  part of a name before . or -, such as Q5_K_M; None: the preferred ones
    file   exactly this one, with the other parts of it
    Errors:  OptionError for a repository without such a file, or with a name that leads elsewhere
    """
    names = sorted(names)
    models = [name for name in names if is_model(name)]
    if file is not None:
        found = file if file in names else None
        wanted = f"file {file!r}"
    else:
        found = _by_quant(models, quant)
        wanted = "GGUF model" if quant is None else f"GGUF model of {quant}"
    if found is None:
        listed = ", ".join(models[:20]) if models else "none"
        raise OptionError(f"found no {wanted}, GGUF models there: {listed}")
    return [checked_name(name) for name in parts(found, names)]


def is_model(name: str) -> bool:
    """Whether a file may be a model."""
    last = name.rpartition("/")[2]
    return name.endswith(".gguf") and not any(word in last for word in OTHERS)


def parts(name: str, names: Iterable[str]) -> list[str]:
    """All parts of a split file, in order; the name alone when it is whole.

    Errors:  OptionError when one is missing
    """
    match = PART.match(name)
    if match is None:
        return [name]
    there = set(names)
    wanted = [f"{match[1]}-{i:05}-of-{match[3]}.gguf" for i in range(1, int(match[3]) + 1)]
    missing = [part for part in wanted if part not in there]
    if missing:
        raise OptionError(f"found no {missing[0]!r}, a part of {name!r}")
    return wanted


def checked_name(name: str) -> str:
    """A path inside the repository. Errors: OptionError for one that leads out of it"""
    if not name or "\\" in name or ":" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise OptionError(f"file name: found {name!r:.100}, expected a path inside the repository")
    return name


def quant_of(name: str) -> str | None:
    """The quantisation that a model's name ends in, in capitals: Q4_K_M; None for a later part, or without."""
    match = PART.match(name)
    if match is not None and int(match[2]) != 1:
        return None
    tag = re.search(r"[-.]([A-Za-z0-9_]+)$", match[1] if match is not None else name.removesuffix(".gguf"))
    return tag[1].upper() if tag is not None else None


def _by_quant(models: list[str], quant: str | None) -> str | None:
    first = [name for name in models if (match := PART.match(name)) is None or int(match[2]) == 1]
    for tag in PREFERRED if quant is None else (quant,):
        pattern = re.compile(re.escape(tag) + "[.-]", re.IGNORECASE)
        for name in first:
            if pattern.search(name):
                return name
    return first[0] if quant is None and first else None
