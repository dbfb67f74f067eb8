"""--rope-... and --yarn-... options, in combination and beyond the training context, against llama.cpp's logits."""

import json

import numpy as np
import pytest
import rope
import variants
from logits import nmse

import llamabox
from llamabox.cli.model import load_arguments
from llamabox.cli.options import parse_options


@pytest.fixture(scope="module")
def stored():
    with np.load(rope.STORED) as file:
        return dict(file)


@pytest.fixture(scope="module")
def path_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rope")
    paths = {}
    for name, variant in rope.MODELS.items():
        paths[name] = folder / f"{name}.gguf"
        variants.write(variant, paths[name])
    return paths


CASES = [(name, i) for name in rope.MODELS for i in range(len(rope.combinations(name)))]


@pytest.mark.parametrize("name, i", CASES, ids=[f"{name}-{i}" for name, i in CASES])
def test_logits_are_llama_cpp_s(stored, path_of, name, i):
    options = rope.combinations(name)[i]
    error = nmse(stored[name][i], rope.ours(path_of[name], options))
    assert error <= (rope.BOUND_GELU if name in rope.GELU else rope.BOUND), f"{options}: NMSE {error:.2e}"


def test_what_is_stored_is_what_is_tested(stored):
    provenance = json.loads(str(stored["provenance"]))
    assert (provenance["tokens"], tuple(provenance["rows"])) == (rope.TOKENS, rope.ROWS)
    assert {name: len(rows) for name, rows in stored.items() if name != "provenance"} == {
        name: len(rope.combinations(name)) for name in rope.MODELS
    }


FLAGS = {
    "rope_scaling": "--rope-scaling",
    "rope_freq_base": "--rope-freq-base",
    "rope_freq_scale": "--rope-freq-scale",
    "yarn_ext_factor": "--yarn-ext-factor",
    "yarn_attn_factor": "--yarn-attn-factor",
    "yarn_beta_fast": "--yarn-beta-fast",
    "yarn_beta_slow": "--yarn-beta-slow",
    "yarn_orig_ctx": "--yarn-orig-ctx",
}


def load_by_flags(path, *argv):
    return llamabox.load(path, n_ctx=rope.N_CTX, **load_arguments(parse_options(["--backend", "numpy", *argv], {})))


def test_the_flags_give_what_the_options_give(path_of):
    options = {"rope_scaling": "yarn", "rope_freq_base": 700.0, "rope_freq_scale": 0.5, **rope.YARNS[-1]}
    argv = [word for name, value in options.items() for word in (FLAGS[name], str(value))]
    by_flags = load_by_flags(path_of["llama"], *argv).config.rope
    assert by_flags == llamabox.load(path_of["llama"], backend="numpy", **options).config.rope


BASE = ["--rope-scaling", "yarn", "--rope-freq-scale", "0.25"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--rope-scaling", "linear", "--rope-freq-scale", "0.25"],
        ["--rope-scaling", "none", "--rope-freq-scale", "0.25"],
        ["--rope-scaling", "yarn", "--rope-scale", "2"],
        [*BASE, "--rope-freq-base", "700"],
        [*BASE, "--yarn-ext-factor", "0.5"],
        [*BASE, "--yarn-ext-factor", "0", "--yarn-attn-factor", "2"],
        [*BASE, "--yarn-beta-fast", "2"],
        [*BASE, "--yarn-beta-slow", "0.2"],
        [*BASE, "--yarn-orig-ctx", "200"],
    ],
    ids=" ".join,
)
def test_each_flag_changes_the_answer(path_of, argv):
    found = load_by_flags(path_of["llama"], *argv).logits(rope.TOKENS)[40:]
    assert nmse(load_by_flags(path_of["llama"], *BASE).logits(rope.TOKENS)[40:], found) > 1e-6


@pytest.mark.parametrize("argv", [["--yarn-orig-ctx", "0"], ["--yarn-ext-factor", "-1"], ["--rope-scale", "4"]])
def test_values_that_mean_the_model_s_own_change_nothing(path_of, argv):
    scale = [] if "--rope-scale" in argv else BASE[2:]
    found = load_by_flags(path_of["llama"], *BASE[:2], *scale, *argv).config.rope
    assert found == load_by_flags(path_of["llama"], *BASE).config.rope
