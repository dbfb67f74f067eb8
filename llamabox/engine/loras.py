"""LoraScales: which LoRA adapters a request runs with: its own, or those that are set for all. Any thread."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llamabox.engine.request import RequestError
from llamabox.models import AdapterSet, adapter_set

MAX_SCALE = 1e6


class LoraScales:
    """The scales of a model's adapters, by their ids 0, 1, ...: what applies to requests that name none."""

    def __init__(self, scales: Sequence[float]):
        self.scales = tuple(scales)

    def set(self, scales: Mapping[int, float]) -> None:
        """Set all of them, those that are not named to 0. Requests that are submitted already keep theirs.

        Errors:  RequestError
        """
        self.check(scales.items())
        self.scales = tuple(float(scales.get(id, 0.0)) for id in range(len(self.scales)))

    def chosen(self, lora: Iterable[tuple[int, float]] | None) -> AdapterSet:
        """The adapters of a request with this `lora` field."""
        if lora is None:
            return adapter_set(dict(enumerate(self.scales)))
        self.check(lora)
        return adapter_set(dict(lora))

    def check(self, lora: Iterable[tuple[int, float]]) -> None:
        """Errors: RequestError for an id that does not exist or comes twice, or a scale that is no number"""
        seen = set()
        for id, scale in lora:
            if not _is_id(id, len(self.scales)):
                expected = f"expected 0 to {len(self.scales) - 1}" if self.scales else "but no adapter is loaded"
                raise RequestError(f"lora: found id {id!r:.80}, {expected}", "lora")
            if id in seen:
                raise RequestError(f"lora: found id {id} twice, expected each once", "lora")
            if not _is_number(scale) or abs(scale) > MAX_SCALE:
                expected = f"a number from {-MAX_SCALE:g} to {MAX_SCALE:g}"
                raise RequestError(f"lora: found scale {scale!r:.80}, expected {expected}", "lora")
            seen.add(id)


def _is_id(id: Any, count: int) -> bool:
    return isinstance(id, int) and not isinstance(id, bool) and 0 <= id < count


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
