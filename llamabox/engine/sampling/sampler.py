"""Sampler: the chain of one request, from logits to a token. Its random generator and history are the request's own."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from llamabox.engine.constrain.constraint import Constraint
from llamabox.engine.request import DEFAULT_SAMPLERS, GenerationError, SamplingParams
from llamabox.engine.sampling import filters
from llamabox.engine.sampling.candidates import Candidates, draw
from llamabox.engine.sampling.dry import Breakers, Dry
from llamabox.engine.sampling.mirostat import Mirostat
from llamabox.engine.sampling.penalties import Penalties

Filter = Callable[[Candidates], Candidates]
LIMIT = 1e30  # the largest logit_bias that has any effect


class Sampler:
    """Chooses the tokens of one request.

    prompt    token ids that penalties count too
    n_ctx     tokens of the sequence's context, which a last_n of -1 stands for
    banned    ids that are never chosen (ignore_eos)
    breakers  see dry.find_breakers
    constraint  what the answer has to be; the filters see no token that it does not allow
    n_largest   how many of the largest logits are all that a choice depends on; None: it depends on every one
    left      the candidates that the last token was drawn from
    """

    left: Candidates

    def __init__(
        self,
        params: SamplingParams,
        prompt: Sequence[int],
        n_vocab: int,
        n_ctx: int,
        banned: frozenset[int] = frozenset(),
        breakers: Breakers | None = None,
        constraint: Constraint | None = None,
    ):
        self._constraint = constraint
        self._params, self._n_ctx = params, n_ctx
        self._rng = np.random.default_rng(None if params.seed in (None, -1) else params.seed % 2**64)
        bias = [*params.logit_bias, *((id, -np.inf) for id in sorted(banned))]
        self._bias_ids = np.array([id for id, _ in bias], np.int64)
        self._bias = np.array(
            [value if value == -np.inf else min(max(value, -LIMIT), LIMIT) for _, value in bias], "f4"
        )
        self._histories: list[Penalties | Dry] = []
        self._mirostat = None
        self.n_largest = None if bias or constraint is not None else n_largest(params)
        if params.mirostat == 0:
            self._filters = [self._filter(name, prompt, breakers) for name in stages(params)]
        else:
            self._filters = [partial(filters.temperature, t=params.temperature)]
            self._mirostat = Mirostat(params.mirostat, params.mirostat_tau, params.mirostat_eta, n_vocab)

    @property
    def is_over(self) -> bool:
        """The answer is all that its constraint allows: no token can come after it."""
        return self._constraint is not None and self._constraint.is_over

    def sample(self, row: Candidates) -> int:
        """The next token.  row: the logits of all tokens, or the n_largest of them or more, in order; not changed.

        Errors:  GenerationError when no token is possible
        """
        with np.errstate(all="ignore"):  # extreme parameters; what comes of them is checked below
            c = self._candidates(row)
        if not np.isfinite(c.logits.max()):
            raise GenerationError("no token can be chosen: the samplers' parameters make logits infinite")
        self.left = c
        index = draw(c, self._rng)
        if self._mirostat is not None:
            self._mirostat.observe(c, index)
        token = c.token(index)
        for history in self._histories:
            history.accept(token)
        if self._constraint is not None:
            self._constraint.accept(token)
        return token

    def _candidates(self, row: Candidates) -> Candidates:
        """What the chain leaves of them."""
        c = row if self.n_largest is not None else self._allowed(self._biased(row.logits))
        if len(c) == 0 or c.logits.max() == -np.inf:
            raise GenerationError("no token can be chosen: logit_bias or ignore_eos excludes all that may come next")
        for apply in self._filters:
            c = apply(c)
        return c if self._mirostat is None else self._mirostat.candidates(c)

    def _biased(self, logits: np.ndarray) -> np.ndarray:
        if len(self._bias_ids) == 0:
            return logits
        logits = logits.copy()
        np.add.at(logits, self._bias_ids, self._bias)  # an id may be named twice
        return logits

    def _allowed(self, logits: np.ndarray) -> Candidates:
        """The tokens that may come next."""
        ids = None if self._constraint is None else self._constraint.allowed
        return Candidates(None, logits) if ids is None else Candidates(ids, logits[ids])

    def _filter(self, name: str, prompt: Sequence[int], breakers: Breakers | None) -> Filter:
        """One stage of the chain."""
        p = self._params
        if name == "penalties":
            last_n = self._window(p.repeat_last_n)
            return self._follow(Penalties(prompt, last_n, p.repeat_penalty, p.presence_penalty, p.frequency_penalty))
        if name == "dry":
            last_n, breakers = self._window(p.dry_penalty_last_n), {} if breakers is None else breakers
            return self._follow(Dry(prompt, p.dry_multiplier, p.dry_base, p.dry_allowed_length, last_n, breakers))
        if name == "top_k":
            return partial(filters.top_k, k=p.top_k)
        if name == "top_n_sigma":
            return partial(filters.top_n_sigma, n=p.top_n_sigma)
        if name == "typ_p":
            return partial(filters.typ_p, p=p.typical_p, min_keep=p.min_keep)
        if name == "top_p":
            return partial(filters.top_p, p=p.top_p, min_keep=p.min_keep)
        if name == "min_p":
            return partial(filters.min_p, p=p.min_p, min_keep=p.min_keep)
        if name == "xtc":
            chance = {"probability": p.xtc_probability, "rng": self._rng}
            return partial(filters.xtc, threshold=p.xtc_threshold, min_keep=p.min_keep, **chance)
        if name == "temperature":
            return partial(
                filters.dynamic_temperature, t=p.temperature, spread=p.dynatemp_range, exponent=p.dynatemp_exponent
            )
        raise ValueError(f"sampler: found {name!r}, expected one of names.NAMES")

    def _follow(self, history: Penalties | Dry) -> Filter:
        self._histories.append(history)
        return history.apply

    def _window(self, last_n: int) -> int:
        return self._n_ctx if last_n < 0 else last_n


def stages(p: SamplingParams) -> list[str]:
    """The samplers to run, in order: without those whose parameters turn them off, and at temperature 0 without those
    whose work makes no difference, because all they would do is drop tokens that are not the most probable one."""
    off = {
        "penalties": p.repeat_last_n == 0 or (p.repeat_penalty, p.presence_penalty, p.frequency_penalty) == (1, 0, 0),
        "dry": p.dry_multiplier == 0 or p.dry_base < 1 or p.dry_penalty_last_n == 0,
        "top_n_sigma": p.top_n_sigma <= 0,
        "top_k": p.top_k <= 0,
        "typ_p": p.typical_p >= 1,
        "top_p": p.top_p >= 1,
        "min_p": p.min_p <= 0,
        "xtc": p.xtc_probability <= 0 or p.xtc_threshold > 0.5,
    }
    names = [name for name in with_sigma(p.samplers) if not off.get(name, False)]
    if "temperature" in names and p.temperature <= 0 and p.dynatemp_range <= 0:
        names = names[: names.index("temperature")]
        while names and names[-1] in ("top_n_sigma", "top_k", "top_p", "min_p"):
            names.pop()
        names.append("temperature")
    return names


def n_largest(p: SamplingParams) -> int | None:
    """How many of the largest logits are all that these samplers look at; None: they look at every one."""
    names = stages(p)
    if p.mirostat != 0 or names == []:
        return None
    greedy = names == ["temperature"] and p.temperature <= 0 and p.dynatemp_range <= 0
    return 1 if greedy else p.top_k if names[0] == "top_k" else None


def with_sigma(samplers: tuple[str, ...]) -> tuple[str, ...]:
    """The samplers, with llama.cpp's top_n_sigma in its place after dry in the default order, which is llama-box's."""
    if samplers != DEFAULT_SAMPLERS:
        return samplers
    at = samplers.index("dry") + 1
    return (*samplers[:at], "top_n_sigma", *samplers[at:])
