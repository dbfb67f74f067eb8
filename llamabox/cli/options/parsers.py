"""Parsers: the text of one value -> the value. A text that does not fit is a ValueError that says what is expected."""

import math
import re
from dataclasses import dataclass

INT32_MAX = 2**31 - 1
SAMPLERS = ("penalties", "dry", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
TRUE_WORDS = ("1", "true", "on", "enabled")
FALSE_WORDS = ("0", "false", "off", "disabled")


@dataclass(frozen=True)
class Integer:
    """A decimal integer from low to high, both included."""

    low: int = 0
    high: int = INT32_MAX

    @property
    def expected(self) -> str:
        return f"an integer from {self.low} to {self.high}"

    def __call__(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            raise ValueError(self.expected)
        value = int(text)
        if not self.low <= value <= self.high:
            raise ValueError(self.expected)
        return value


@dataclass(frozen=True)
class Number:
    """A finite decimal number from low to high; low itself is left out when `above` is set."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False

    @property
    def expected(self) -> str:
        if self.low == -math.inf and self.high == math.inf:
            return "a finite number"
        if self.high == math.inf:
            return f"a finite number {'above' if self.above else 'of at least'} {self.low:g}"
        return f"a number from {self.low:g} to {self.high:g}"

    def __call__(self, text: str) -> float:
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,5})?", text) or len(text) > 100:
            raise ValueError(self.expected)
        value = float(text)
        too_low = value <= self.low if self.above else value < self.low
        if too_low or value > self.high or not math.isfinite(value):
            raise ValueError(self.expected)
        return value


class Choice:
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.expected = "one of " + ", ".join(words)

    def __call__(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(self.expected)
        return text


@dataclass(frozen=True)
class Text:
    """A text that is not empty, in UTF-8. `what` names it in messages."""

    what: str = "a text"

    def __call__(self, text: str) -> str:
        if not text:
            raise ValueError(f"{self.what} that is not empty")
        if not is_utf8(text):
            raise ValueError(f"{self.what} in UTF-8")
        return text


def path(text: str) -> str:
    """A path: any bytes, as the operating system has them."""
    if not text:
        raise ValueError("a path that is not empty")
    return text


def any_text(text: str) -> str:
    """Any text in UTF-8, the empty one too."""
    if not is_utf8(text):
        raise ValueError("a text in UTF-8")
    return text


def is_utf8(text: str) -> bool:
    """Whether a text from the command line or environment was UTF-8: other bytes arrive as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def boolean(text: str) -> bool:
    """The value of a switch's environment variable."""
    word = text.lower()
    if word not in TRUE_WORDS + FALSE_WORDS:
        raise ValueError("1 or 0 (also true, on, enabled, false, off, disabled)")
    return word in TRUE_WORDS


def on_off_auto(text: str) -> bool | None:
    """on, off or auto (None)."""
    if text == "auto":
        return None
    if text not in TRUE_WORDS + FALSE_WORDS:
        raise ValueError("on, off or auto")
    return text in TRUE_WORDS


def threads(text: str) -> int:
    """A number of threads; 0 means -1, one a core, as in llama-box."""
    value = Integer(-1, 4096)(text)
    return -1 if value == 0 else value


def gpu_layers(text: str) -> int | None:
    """A number of layers; all, or -1: all of them; auto (None): those that find room."""
    return None if text == "auto" else -1 if text == "all" else Integer(-1)(text)


def host(text: str) -> str:
    """An address or a host name."""
    expected = "an address or a host name"
    if "," in text or text.endswith(".sock"):
        raise ValueError(f"{expected}, one and no UNIX socket")
    return Text(expected)(text)


def http_threads(text: str) -> int:
    """A number of HTTP threads, or -1: as many as the server finds enough."""
    try:
        return -1 if Integer(-1, 4096)(text) == -1 else Integer(1, 4096)(text)
    except ValueError:
        raise ValueError("-1 or an integer from 1 to 4096") from None


def words(text: str) -> tuple[str, ...]:
    """Comma-separated names: devices, servers."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise ValueError("comma-separated names, none of them empty")
    return names


def proportions(text: str) -> tuple[float, ...]:
    """Comma-separated shares, such as 3,1."""
    expected = "comma-separated numbers of at least 0, not all of them 0, such as 3,1"
    try:
        shares = tuple(Number(0)(share.strip()) for share in text.split(","))
    except ValueError:
        raise ValueError(expected) from None
    if not any(shares):
        raise ValueError(expected)
    return shares


def key_value(text: str) -> str:
    """KEY=TYPE:VALUE of --override-kv, checked; the reader of GGUF files takes it as a text."""
    from llamabox.gguf.overrides import FORM, parse_override

    if not re.match("[^=]+=(int|float|bool|str):", text):
        raise ValueError(FORM)
    try:
        value = parse_override(text).value
    except ValueError as error:
        reason = str(error).rpartition(": ")[2]  # what comes before repeats the text
        raise ValueError(f"{FORM} ({reason:.100})") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{FORM} with a finite value")
    return text


def sampler_names(text: str) -> tuple[str, ...]:
    """Sampler names separated by ';', in any of llama.cpp's spellings; an empty text is no sampler."""
    from llamabox.engine.sampling import names

    try:
        return names.sampler_names(text.split(";") if text else [])
    except ValueError:
        raise ValueError("names separated by ';' from " + ", ".join(SAMPLERS)) from None


def sampler_letters(text: str) -> tuple[str, ...]:
    """One letter a sampler, such as edkypmxt -> names."""
    from llamabox.engine.sampling import names

    try:
        return names.sampler_letters(text)
    except ValueError:
        listed = ", ".join(f"{letter} ({name})" for letter, name in names.LETTERS.items())
        raise ValueError(f"letters from {listed}") from None


def logit_bias(text: str) -> tuple[int, float]:
    """TOKEN_ID(+/-)BIAS, such as 15043+1 -> (token id, bias)."""
    expected = "TOKEN_ID+BIAS or TOKEN_ID-BIAS with a finite BIAS, such as 15043+1"
    match = re.fullmatch(r"([0-9]{1,10})([+-][0-9.].*)", text)
    if not match:
        raise ValueError(expected)
    try:
        return Integer()(match[1]), Number()(match[2])
    except ValueError:
        raise ValueError(expected) from None


def cpu_mask(text: str) -> frozenset[int]:
    """A hexadecimal mask, lowest bit CPU 0 -> the CPUs it names. The empty text names none."""
    if not text:
        return frozenset()
    match = re.fullmatch(r"(?:0[xX])?([0-9a-fA-F]{1,256})", text)
    if not match or int(match[1], 16) == 0:
        raise ValueError("a hexadecimal mask with at least one bit set, such as 0xF")
    mask = int(match[1], 16)
    return frozenset(cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1)


def cpu_range(text: str) -> frozenset[int]:
    """lo-hi, both included -> the CPUs of the range."""
    match = re.fullmatch(r"([0-9]{1,4})-([0-9]{1,4})", text)
    if not match or int(match[1]) > int(match[2]):
        raise ValueError("lo-hi with lo at most hi, such as 0-3")
    return frozenset(range(int(match[1]), int(match[2]) + 1))


def unescape(text: str) -> str:
    r"""Replace the escapes \n \r \t \' \" \\ ; any other backslash stays as it is."""
    plain = {"n": "\n", "r": "\r", "t": "\t"}
    return re.sub(r"\\([nrt'\"\\])", lambda match: plain.get(match[1], match[1]), text)
