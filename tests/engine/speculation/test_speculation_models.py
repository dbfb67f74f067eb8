"""Speculation on real, tiny models: what is verified several rows at a time is what comes row by row."""

import sys
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.engine import Engine, EngineOptions, FinishEvent, GenerationRequest, SamplingParams, SpeculationOptions
from llamabox.kernels import Rows, make_step

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "conformance"))
import logits  # noqa: E402

MODELS = [("gemma3", "numpy"), ("gemma3", "cpu"), ("gemma2", "cpu"), ("llama", "cpu"), ("qwen3moe", "cpu")]
PROMPTS = [tuple((5 * i + 3 * j * j) % 120 for j in range(n)) for i, n in enumerate((3, 17, 40, 64))]
KINDS = {
    "n-grams": lambda model: {"ngram_min": 1},
    "itself": lambda model: {"model": model, "p_min": 0.0},
    "nearly itself": lambda model: {"model": model, "p_min": 0.0, "cache_type_k": "bf16", "cache_type_v": "bf16"},
}
SAMPLING = {
    "greedy": SamplingParams(temperature=0.0),
    "penalties": SamplingParams(temperature=0.0, repeat_penalty=1.3, frequency_penalty=0.2, dry_multiplier=0.8),
    "sampled": SamplingParams(seed=5, temperature=0.6, top_k=5),
    "mirostat": SamplingParams(seed=6, temperature=0.8, mirostat=2, mirostat_tau=1.0),
}


@pytest.fixture(scope="module", params=MODELS, ids="-".join)
def model(request, tmp_path_factory):
    """gemma: sliding windows."""
    arch, backend = request.param
    return llamabox.load(logits.open_case(arch, tmp_path_factory.mktemp("archs")).path, backend=backend).model


def run(model, sampling, speculation=None, **fields):
    """Four requests at once -> [(TextEvents, Timings), ...]"""
    speculation = None if speculation is None else SpeculationOptions(n_max=6, n_min=1, **speculation)
    engine = Engine(model, None, EngineOptions(n_ctx=2048, n_parallel=4), speculation)
    request = {"sampling": sampling, "n_predict": 32, **fields}
    generations = [engine.submit(GenerationRequest(p, **request)) for p in PROMPTS]
    answers = []
    for generation in generations:
        events = []
        while not isinstance(event := generation.next_event(0), FinishEvent):
            if event is None:
                engine.step()
            else:
                events.append(event)
        answers.append((events, event.timings))
    return answers


def texts(answers):
    return [[event.tokens for event in events] for events, _ in answers]


def totals(answers):
    return sum(t.n_accepted for _, t in answers), sum(t.n_drafted for _, t in answers)


@pytest.mark.parametrize("sampling", SAMPLING.values(), ids=SAMPLING)
def test_answers_are_those_without(model, sampling):
    plain = texts(run(model, sampling))
    for kind, options in KINDS.items():
        answers = run(model, sampling, options(model))
        assert texts(answers) == plain, kind
        accepted, drafted = totals(answers)
        if sampling is SAMPLING["greedy"]:
            assert accepted > 60 or kind != "itself"
        else:
            assert accepted < drafted or kind == "n-grams", f"{kind}: some guesses were wrong"


def test_probabilities_are_those_without(model):
    """To the last bit on the cpu backend. NumPy's BLAS adds up in another order where there are more rows, which may
    round a key to the next f16."""
    error = 0 if model.ops.name == "cpu" else 1e-3
    fields = {"n_probs": 3, "sampling": SAMPLING["sampled"]}
    plain, drafted = run(model, **fields), run(model, **fields, speculation=KINDS["itself"](model))
    assert totals(drafted)[0] > 10
    for (events, _), (others, _) in zip(plain, drafted, strict=True):
        for event, other in zip(events, others, strict=True):
            assert event.tokens == other.tokens
            for probs, same in zip(event.probs, other.probs, strict=True):
                assert probs.logprob == pytest.approx(same.logprob, rel=0, abs=error)
                assert [p for *_, p in probs.top] == pytest.approx([p for *_, p in same.top], rel=0, abs=error)


def test_several_rows_have_the_bits_of_single_ones(model):
    """On the cpu backend a row's logits are the same in any step, whatever the width of the draft."""
    if model.ops.name != "cpu":
        return
    tokens = np.array([(7 * j * j + 3) % 120 for j in range(90)], np.int32)

    def rows_of(*widths):
        """Logits of the last 34 tokens, computed in steps of these widths beside another sequence."""
        kv = model.ops.kv_cache(model.config.kv_shapes(), 8, "f16", "f16")
        model.forward(tokens[:56], make_step([Rows(0, 56, range(4), "last")], kv))
        start, found = 56, []
        for width in widths:
            parts = [Rows(start, width, range(4), "all"), Rows(start - 56, width, range(4, 8), "none")]
            both = np.concatenate([tokens[start : start + width], tokens[start - 56 : start - 56 + width]])
            found.append(model.ops.to_numpy(model.forward(both, make_step(parts, kv))))
            start += width
        return np.concatenate(found)

    single = rows_of(*[1] * 34)
    for widths in ([2] * 17, [34], [17, 17], [3] * 11 + [1], [5, 9, 16, 4]):
        assert np.array_equal(rows_of(*widths), single), widths
