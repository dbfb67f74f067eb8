"""SpeculationOptions: how drafts are made, and how long they may be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamabox.engine.request import RequestError, SpeculativeParams
from llamabox.engine.speculation.ngrams import NGRAM_MAX


@dataclass(frozen=True, eq=False)
class SpeculationOptions:
    """Checked when it is made.

    n_max, n_min, p_min  what a request that says nothing gets; see SpeculativeParams
    model                the draft model, a LoadedModel whose vocabulary fits; None: none
    cache_type_k, cache_type_v  of the draft model's KV cache
    ngram_min            look up n-grams of so many tokens and more; 0: none
    static, dynamic      files of n-gram caches; the dynamic one is made or brought up to date on close
    """

    n_max: int = 16
    n_min: int = 5
    p_min: float = 0.9
    model: Any = None
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    ngram_min: int = 0
    static: Path | None = None
    dynamic: Path | None = None

    def __post_init__(self) -> None:
        bounds = {"n_max": (0, None), "n_min": (0, None), "p_min": (0, 1), "ngram_min": (0, NGRAM_MAX)}
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not value >= least or (most is not None and value > most):
                expected = f"{least} or more" if most is None else f"{least} to {most}"
                raise RequestError(f"{name}: found {value}, expected {expected}", name)
        for name in ("static", "dynamic"):
            if self.ngram_min == 0 and getattr(self, name) is not None:
                raise RequestError(
                    f"{name}: found an n-gram cache, but n-grams are not looked up: ngram_min is 0", name
                )

    def bounds(self, params: SpeculativeParams) -> "Bounds":
        """The request's own over ours."""
        n_max = self.n_max if params.n_max is None else params.n_max
        n_min = self.n_min if params.n_min is None else params.n_min
        return Bounds(n_max, min(n_min, n_max), self.p_min if params.p_min is None else params.p_min)


@dataclass(frozen=True)
class Bounds:
    """Of one draft: most and least tokens, least probability of each."""

    n_max: int
    n_min: int
    p_min: float
