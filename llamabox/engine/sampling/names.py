"""The samplers' names and letters, as `--samplers`, `--sampling-seq` and requests write them."""

from collections.abc import Iterable

from llamabox.engine.request import RequestError

LETTERS = {  # llama.cpp's letters; the seed's order is edkypmxt
    "e": "penalties",
    "d": "dry",
    "s": "top_n_sigma",
    "k": "top_k",
    "y": "typ_p",
    "p": "top_p",
    "m": "min_p",
    "x": "xtc",
    "t": "temperature",
}
NAMES = frozenset(LETTERS.values())
_ALIASES = {
    **{name: name for name in NAMES},
    **{name.replace("_", "-"): name for name in NAMES},
    **{name.replace("_", ""): name for name in NAMES},
    "nucleus": "top_p",
    "temp": "temperature",
    "typ": "typ_p",
}


def sampler_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names in any of llama.cpp's spellings ("top_k", "top-k", "topk", "nucleus", ...) -> our own."""
    found = []
    for name in names:
        key = name.strip().lower() if isinstance(name, str) else name
        if not isinstance(key, str) or key not in _ALIASES:
            raise RequestError(
                f"samplers: found {name!r}, expected names from {', '.join(LETTERS.values())}", "samplers"
            )
        found.append(_ALIASES[key])
    return tuple(found)


def sampler_letters(letters: str) -> tuple[str, ...]:
    """A sequence of letters such as "edkypmxt" -> names."""
    for letter in letters:
        if letter not in LETTERS:
            expected = ", ".join(f"{letter} ({name})" for letter, name in LETTERS.items())
            raise RequestError(f"samplers: found the letter {letter!r}, expected letters from {expected}", "samplers")
    return tuple(LETTERS[letter] for letter in letters)
