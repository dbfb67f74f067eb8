"""One test of `llamabox bench`: load, warm up, repeat. What is measured is what llama-bench measures."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

import llamabox
from llamabox.cli.bench.parameters import Test
from llamabox.cli.compiling import show_compiling
from llamabox.cli.model import LOCAL, load_arguments, model_path
from llamabox.cli.options import ALL_OPTIONS, OptionError, Options, parse_options
from llamabox.cli.placement import apply_affinity
from llamabox.kernels import BLOCK, Rows, make_step
from llamabox.kernels.host import memory_bytes
from llamabox.kernels.kv import cell_bytes
from llamabox.models import LoadedModel

TABLE = ALL_OPTIONS.only(*LOCAL)


@dataclass(frozen=True)
class Result:
    """A test, the model it ran on, when, and the nanoseconds of each repetition."""

    test: Test
    model: Any
    began: datetime
    samples_ns: list[int]

    @property
    def samples_ts(self) -> list[float]:
        """Tokens a second of each repetition."""
        return [1e9 * (self.test.n_prompt + self.test.n_gen) / ns for ns in self.samples_ns]


class Bench:
    """Runs tests one after another; a model stays loaded for as long as the next test wants the same.

    n_ctx  tokens of the longest test
    """

    def __init__(self, n_ctx: int, numa: str | None, prio: int):
        self._n_ctx = n_ctx
        self._general = [*(["--numa", numa] if numa is not None else []), *(["--prio", str(prio)] if prio else [])]
        self._loaded: tuple[tuple, llamabox.api.Model] | None = None
        apply_affinity(parse_options(self._general, table=TABLE))  # --numa isolate

    def check(self, tests: Sequence[Test]) -> None:
        """OptionError when an option of a test has a value that it cannot have."""
        for words in {tuple(test.words): test.words for test in tests}.values():
            parse_options(words, table=TABLE)

    def run(self, test: Test, repetitions: int, warmup: bool, tell: Callable[[str], None]) -> Result:
        """Measure a test so many times. tell: is told what comes next."""
        model = self._model(test)
        depth = test.values["n_depth"]
        context = _Context(model, test)
        if warmup:
            tell("warm-up")
            context.prompt(0, test.n_prompt)
            context.generate(0, min(test.n_gen, 1))
        if depth > 0:
            tell(f"{depth} tokens before the test")
            context.prompt(0, depth)
        began, samples = datetime.now(UTC), []
        for i in range(repetitions):
            tell(f"run {i + 1}/{repetitions}")
            start = time.perf_counter_ns()
            context.prompt(depth, test.n_prompt)
            context.generate(depth + test.n_prompt, test.n_gen)
            samples.append(time.perf_counter_ns() - start)
        return Result(test, model, began, samples)

    def _model(self, test: Test) -> "llamabox.api.Model":
        key = (*test.words, *_source(test))
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # its memory goes before the next one's comes
            options = parse_options([*self._general, *_source(test), *test.words], table=TABLE)
            self._loaded = (key, _load(options, self._n_ctx))
        return self._loaded[1]


def check_room(loaded: LoadedModel, n_tokens: int, type_k: str, type_v: str) -> None:
    """OptionError when the model has no positions, or the machine no memory, for so many tokens."""
    if loaded.n_ctx_limit is not None and n_tokens > loaded.n_ctx_limit:
        raise OptionError(f"the tests hold {n_tokens} tokens, {loaded.arch} has positions for {loaded.n_ctx_limit}")
    shapes, memory = loaded.config.kv_shapes(), memory_bytes()
    n_bytes = n_tokens * sum(cell_bytes(shape, type_k, type_v) for shape in shapes)
    if memory is not None and n_bytes > memory[1]:
        found = f"{n_bytes >> 20} MiB of KV memory for {n_tokens} tokens"
        raise OptionError(f"the tests need {found}, found {memory[1] >> 20} MiB free")


def _source(test: Test) -> list[str]:
    if test.values["hf_repo"] is not None:
        return ["-hf", test.values["hf_repo"]]
    return ["-m", test.values["model_filename"]]


def _load(options: Options, n_ctx: int) -> "llamabox.api.Model":
    show_compiling()
    return llamabox.load(model_path(options), n_ctx=n_ctx, **load_arguments(options))


class _Context:
    """The KV memory of one test, and what reads and writes it. Tokens are random: their values cost nothing."""

    def __init__(self, model: "llamabox.api.Model", test: Test):
        n_tokens = test.n_tokens
        loaded, types = model.model, (test.values["type_k"], test.values["type_v"])
        self._run = loaded.hidden if test.values["embeddings"] or loaded.is_encoder else loaded.forward
        self._rows = min(test.values["n_batch"], test.values["n_ubatch"])
        self._ops, self._causal = loaded.ops, loaded.causal
        self._tokens = np.random.default_rng(0).integers(0, loaded.config.n_vocab, max(n_tokens, 1)).astype(np.int32)
        self._table, self._cache = np.arange(-(-n_tokens // BLOCK), dtype=np.int32), None
        if not loaded.is_encoder and loaded.causal:
            check_room(loaded, n_tokens, *types)
            self._cache = self._ops.kv_cache(loaded.config.kv_shapes(), len(self._table), *types)
        self._want = "all" if test.values["embeddings"] else "last"

    def prompt(self, start: int, count: int) -> None:
        """Read so many tokens, which follow `start` others."""
        end = start + count
        while start < end:
            rows = end - start if self._cache is None else min(self._rows, end - start)
            self._step(start, rows)
            start += rows

    def generate(self, start: int, count: int) -> None:
        """One token at a time."""
        for position in range(start, start + count):
            self._step(position, 1)

    def _step(self, start: int, count: int) -> None:
        begin = start if self._cache is not None else 0  # without a cache, nothing comes before
        part = Rows(begin, count, self._table if self._cache is not None else (), self._want)
        step = make_step([part], self._cache, causal=self._causal)
        self._ops.to_numpy(self._run(self._tokens[start : start + count], step))
