"""A ragged batch: each sequence gets what it gets alone, whatever else is in the step."""

import logits
import numpy as np
import pytest
from on_backends import EVERY

from llamabox.kernels import Rows, make_step

NAMES = [
    "llama",
    "llama-moe",
    "qwen2-q8-0",
    "qwen3",
    "gemma2",
    "gemma3-q4-0",
    "phi3",
    "granite-moe",
    "mistral3",
    "command-r",
]
PROMPTS = [[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], [77], [10, 20, 30, 40, 50]]


def step_tokens(prompts):
    return np.concatenate([np.array(p, np.int32) for p in prompts])


@pytest.mark.parametrize("backend", EVERY)
@pytest.mark.parametrize("name", NAMES)
def test_sequences_do_not_see_each_other(open_case, name, backend):
    loaded = logits.load(open_case(name), backend).model
    shapes = loaded.config.kv_shapes()
    alone = []
    for prompt in PROMPTS:
        step = make_step([Rows(0, len(prompt), (0,), "last")], loaded.ops.kv_cache(shapes, 1, "f32", "f32"))
        alone.append(loaded.ops.to_numpy(loaded.forward(step_tokens([prompt]), step))[0])
    parts = [Rows(0, len(prompt), (block,), "last") for prompt, block in zip(PROMPTS, (2, 0, 1), strict=True)]
    together = loaded.ops.to_numpy(
        loaded.forward(step_tokens(PROMPTS), make_step(parts, loaded.ops.kv_cache(shapes, 3, "f32", "f32")))
    )
    assert together.shape == (3, loaded.config.n_vocab)
    assert logits.nmse(np.stack(alone), together) <= 1e-11


@pytest.mark.parametrize("backend", EVERY)
@pytest.mark.parametrize("name", NAMES)
def test_a_chunk_that_wants_no_logits_prepares_the_next(open_case, name, backend):
    loaded = logits.load(open_case(name), backend).model
    tokens = step_tokens(PROMPTS[:1])
    whole = make_step([Rows(0, 12, (0,), "last")], loaded.ops.kv_cache(loaded.config.kv_shapes(), 1, "f32", "f32"))
    expected = loaded.ops.to_numpy(loaded.forward(tokens, whole))
    cache = loaded.ops.kv_cache(loaded.config.kv_shapes(), 1, "f32", "f32")
    first = loaded.ops.to_numpy(loaded.forward(tokens[:7], make_step([Rows(0, 7, (0,), "none")], cache)))
    assert first.shape == (0, loaded.config.n_vocab)
    second = loaded.ops.to_numpy(loaded.forward(tokens[7:], make_step([Rows(7, 5, (0,), "last")], cache)))
    assert logits.nmse(expected, second) <= 1e-11


ENCODERS = [
    "bert",
    "jina-bert-v2-code",
    "nomic-bert",
    "nomic-bert-moe",
    "modern-bert",
    "gemma-embedding",
    "llama-embed",
]


@pytest.mark.parametrize("backend", EVERY)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoded_sequences_do_not_see_each_other(open_case, name, backend):
    loaded = logits.load(open_case(name), backend).model

    def encode(prompts, want):
        step = make_step([Rows(0, len(p), (), want) for p in prompts], None, causal=False)
        return loaded.ops.to_numpy(loaded.hidden(step_tokens(prompts), step))

    together = np.split(encode(PROMPTS, "all"), np.cumsum([len(p) for p in PROMPTS])[:-1])
    for prompt, rows in zip(PROMPTS, together, strict=True):
        alone = encode([prompt], "all")
        assert logits.nmse(alone, rows) <= 1e-11
        if backend == "cpu":  # a row's bits never depend on what is beside it
            np.testing.assert_array_equal(rows, alone)
    firsts = encode(PROMPTS, "first")
    assert logits.nmse(np.stack([rows[0] for rows in together]), firsts) <= 1e-11
