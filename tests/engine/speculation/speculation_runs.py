"""Runs of several requests through an engine with speculation, and drafts that are right as often as a test wants."""

import sys
from pathlib import Path

import numpy as np

from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, SamplingParams, SpeculationOptions

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from engine_fakes import END, N_VOCAB, FakeModel, FakeTokenizer  # noqa: E402, F401

GREEDY = SamplingParams(temperature=0.0)
PROMPTS = [tuple(1 + (7 * i + j) % 250 for j in range(n)) for i, n in enumerate((3, 31, 40, 64, 100))]


class Unsure(FakeModel):
    """Sure of the target's next token, but wrong after every text whose length is a multiple of `wrong_at`, and unsure
    after a multiple of `unsure_at`."""

    def __init__(self, wrong_at=10**9, unsure_at=10**9):
        super().__init__()
        self.wrong_at, self.unsure_at = wrong_at, unsure_at

    def _logits(self, text):
        x = super()._logits(text)
        token = int(x.argmax())
        if len(text) % self.wrong_at == 0:
            token = 1 + token % (N_VOCAB - 1)
        x = np.zeros(N_VOCAB)
        x[token] = 30
        if len(text) % self.unsure_at == 0:
            x[1 + token % (N_VOCAB - 1)] = 29
        return x


class Cycle(FakeModel):
    """Greedily continues 1, 2, ..., period, 1, 2, ..."""

    period = 7

    def _logits(self, text):
        x = np.zeros(N_VOCAB)
        x[1 + int(text[-1]) % self.period] = 30
        return x


def make(speculation=None, target=None, **options):
    options = {"n_ctx": 4096, "n_parallel": 8, "cache_type_k": "f32", "cache_type_v": "f32", **options}
    speculation = None if speculation is None else SpeculationOptions(**speculation)
    return Engine(target if target is not None else FakeModel(), FakeTokenizer(), EngineOptions(**options), speculation)


def run(engine, prompts=PROMPTS, n_predict=40, sampling=GREEDY, **fields):
    """All requests at once -> [(tokens, Timings), ...]"""
    generations = [
        engine.submit(GenerationRequest(tuple(p), sampling=sampling, n_predict=n_predict, **fields)) for p in prompts
    ]
    answers = []
    for generation in generations:
        tokens = []
        while not isinstance(event := generation.next_event(0), FinishEvent):
            if event is None:
                assert engine.step()
            else:
                tokens += event.tokens
        answers.append((tokens, event.timings))
    return answers


def texts(answers):
    return [tokens for tokens, _ in answers]
