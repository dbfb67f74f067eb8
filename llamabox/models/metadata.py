"""ArchMetadata: an architecture's own metadata keys, checked as they are read, and which of them nobody read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from reprlib import repr as short_repr
from typing import Any, NoReturn

from llamabox.gguf import Tensor

MAX_COUNT = 2**31 - 1
SCALINGS = ("none", "linear", "yarn", "longrope")
POOLINGS = ("none", "mean", "cls", "last", "rank")  # by llama.cpp's numbers, 0 to 4


class ModelError(ValueError):
    """A file whose metadata or tensors do not make a model that we know."""


@dataclass(frozen=True)
class ModelOptions:
    """What a user may set about the maths of a model; None: the file's own value.

    n_ctx_seq        context of one sequence, in tokens (LongRoPE chooses its factors by it)
    rope_scaling     "none", "linear" or "yarn"
    rope_freq_scale  positions are multiplied by it: 1 / the context scaling factor
    """

    n_ctx_seq: int | None = None
    rope_scaling: str | None = None
    rope_freq_base: float | None = None
    rope_freq_scale: float | None = None
    yarn_orig_ctx: int | None = None
    yarn_ext_factor: float | None = None
    yarn_attn_factor: float | None = None
    yarn_beta_fast: float | None = None
    yarn_beta_slow: float | None = None

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                _check_option(field.name, value)


class ArchMetadata:
    """`meta.count("block_count")` reads "<arch>.block_count". Each reader checks the type and the range of its value.

    n_vocab  rows of token_embd.weight
    Errors:  ModelError naming the key, the value found and the value expected
    """

    def __init__(self, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], options: ModelOptions):
        self.arch: str = metadata["general.architecture"]
        self.n_vocab = tensors["token_embd.weight"].shape[0]
        self.options = options
        self._metadata = metadata
        self._blocks = len({name.split(".")[1] for name in tensors if name.startswith("blk.")})
        self._read: set[str] = set()

    def count(self, key: str, default: int | None = None, low: int = 1, high: int = MAX_COUNT) -> int:
        """A whole number from low to high; without a default the key must be there."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fail(key, value, f"a whole number from {low} to {high}")
        return value

    def real(self, key: str, default: float | None = None, low: float = -math.inf, above: float = -math.inf) -> float:
        """A finite number of at least low, and above `above`."""
        value = self._value(key, default)
        if not _is_number(value) or value < low or value <= above:
            least = "" if low == -math.inf else f" of at least {low}"
            more = "" if above == -math.inf else f" above {above}"
            self.fail(key, value, f"a finite number{least}{more}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            self.fail(key, value, "true or false")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """One of a few names."""
        value = self._value(key, default)
        if value not in choices:
            self.fail(key, value, f"one of {', '.join(choices)}")
        return value

    def raw(self, key: str, default: Any) -> Any:
        """A value of any type, as the file has it."""
        return self._value(key, default)

    def n_layer(self) -> int:
        """block_count, which the tensors present must bear out."""
        value = self.count("block_count")
        if value > self._blocks:
            self.fail("block_count", value, f"at most {self._blocks}: the file has tensors of {self._blocks} blocks")
        return value

    def heads(self, n_embd: int) -> tuple[int, int, int]:
        """n_head, n_head_kv, head_dim; values have the size of keys."""
        n_head = self.count("attention.head_count")
        n_head_kv = self.count("attention.head_count_kv", n_head)
        if n_head % n_head_kv != 0:
            self.fail("attention.head_count_kv", n_head_kv, f"a divisor of attention.head_count, {n_head}")
        head_dim = self.count("attention.key_length", n_embd // n_head)
        value_dim = self.count("attention.value_length", n_embd // n_head)
        if value_dim != head_dim:
            self.fail("attention.value_length", value_dim, f"attention.key_length, {head_dim}")
        return n_head, n_head_kv, head_dim

    def experts(self) -> tuple[int, int]:
        """n_expert and n_expert_used; 0 and 0 for a dense model."""
        n_expert = self.count("expert_count", 0, low=0)
        n_used = self.count("expert_used_count", 0, low=0)
        if not min(1, n_expert) <= n_used <= n_expert:
            self.fail("expert_used_count", n_used, f"{min(1, n_expert)} to expert_count, {n_expert}")
        return n_expert, n_used

    def n_labels(self) -> int:
        """Outputs of a classifier head: the labels the file names, or one."""
        labels = self._value("classifier.output_labels", ["score"])
        if not isinstance(labels, list) or len(labels) == 0:
            self.fail("classifier.output_labels", labels, "one or more names")
        return len(labels)

    def rank_pooling(self, default: str) -> str:
        """What the classifier head is applied to, one of POOLINGS."""
        number = self.count("classifier.pooling_type", POOLINGS.index(default), low=1, high=3)
        return POOLINGS[number]

    def fail(self, key: str, value: Any, expected: str) -> NoReturn:
        """Refuse a value."""
        name = key if key.startswith("tokenizer.") else f"{self.arch}.{key}"
        raise ModelError(f"metadata key {name}: found {short_repr(value)}, expected {expected}")

    def unread(self) -> list[str]:
        """The architecture's keys that nobody asked for."""
        return [k for k in self._metadata if k.startswith(f"{self.arch}.") and k not in self._read]

    def _value(self, key: str, default: Any) -> Any:
        name = key if key.startswith("tokenizer.") else f"{self.arch}.{key}"
        if name not in self._metadata:
            if default is None:
                raise ModelError(f"metadata key {name} is missing: the {self.arch} architecture needs it")
            return default
        self._read.add(name)
        return self._metadata[name]


def _check_option(name: str, value: Any) -> None:
    if name == "rope_scaling":
        right, expected = value in SCALINGS, f"one of {', '.join(SCALINGS)}"
    elif name in ("n_ctx_seq", "yarn_orig_ctx"):
        right, expected = isinstance(value, int) and 1 <= value <= MAX_COUNT, f"a whole number from 1 to {MAX_COUNT}"
    elif name in ("yarn_ext_factor", "yarn_attn_factor"):
        right, expected = _is_number(value) and value >= 0, "a number of at least 0"
    elif name == "rope_freq_base":
        right, expected = _is_number(value) and value > 1, "a number above 1"
    else:
        right, expected = _is_number(value) and value > 0, "a number above 0"
    if not right:
        raise ModelError(f"option {name}: found {short_repr(value)}, expected {expected}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
