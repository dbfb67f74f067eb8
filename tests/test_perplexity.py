"""Perplexity beside llama-perplexity's stored estimates (conformance/perplexity.py), and `llamabox perplexity`."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.assets import tiny_chat_path
from llamabox.cli.main import main
from llamabox.gguf import GGUFWriter, open_gguf
from llamabox.gguf.requantize import plan_types, write_requantized
from llamabox.models import ModelError
from llamabox.perplexity import perplexity

CONFORMANCE = Path(__file__).parents[1] / "conformance"
TEXT = CONFORMANCE / "texts" / "alice.txt"
STORED = json.loads((CONFORMANCE / "results" / "perplexity.json").read_text())["perplexity"]
BOUND = 0.005  # of llama.cpp's


@pytest.fixture(scope="module")
def model():
    return llamabox.load(tiny_chat_path())


@pytest.mark.parametrize("name", STORED)
def test_stored_estimates_agree_with_llama_cpp(name):
    assert STORED[name]["cpu"] == pytest.approx(STORED[name]["llama.cpp"], rel=BOUND)


@pytest.mark.parametrize("name", ["Q8_0", "F16", "Q4_0", "Q4_K_M"])
def test_estimates_of_today_agree_with_llama_cpp(name, tmp_path):
    path = tiny_chat_path()
    if name != "Q8_0":
        source, path = open_gguf(path), tmp_path / "model.gguf"
        write_requantized(source, path, name, plan_types(source, name, False, True), 2)
    *_, last = perplexity(llamabox.load(path), TEXT.read_text())
    assert last.perplexity == pytest.approx(STORED[name]["llama.cpp"], rel=BOUND)


def test_an_estimate_is_the_mean_over_second_halves_of_chunks(model):
    text = TEXT.read_text()[:6000]
    tokens = model.tokenizer.encode(text)
    losses = []
    for i in range(len(tokens) // 128):
        chunk = tokens[128 * i : 128 * (i + 1)]
        logits = model.logits(chunk).astype(np.float64)
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        losses += [-math.log(probs[j, chunk[j + 1]]) for j in range(64, 127)]
    *_, last = perplexity(model, text, n_ctx=128)
    assert last.count == len(losses)
    assert last.mean == pytest.approx(np.mean(losses), rel=1e-6)
    assert last.uncertainty == pytest.approx(last.perplexity * np.std(losses) / math.sqrt(len(losses) - 1), rel=1e-5)


def test_rows_at_once_and_chunks(model):
    text = TEXT.read_text()[:6000]
    whole = list(perplexity(model, text, n_ctx=128))
    small = list(perplexity(model, text, n_ctx=128, n_ubatch=20, chunks=3))
    assert small[-1].perplexity == whole[2].perplexity
    assert [(e.chunk, e.chunks) for e in small] == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"n_ctx": 2}, "chunks of 2 tokens"),
        ({"chunks": 0}, "chunks 0, expected 1 or more"),
        ({"n_ctx": 5000}, "expected 3 to 1024"),
        ({"n_ctx": 512}, "a text of "),
    ],
)
def test_mistakes(model, how, message):
    with pytest.raises(ModelError, match=message):
        list(perplexity(model, "too short", **how))


def test_the_command(capsys, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT.read_text()[:6000])
    assert main(["perplexity", "-f", str(text), "-c", "128", "--chunks", "2", "--backend", "numpy"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    estimates = list(perplexity(llamabox.load(tiny_chat_path(), backend="numpy"), text.read_text(), 128, chunks=2))
    assert first == "".join(f"[{e.chunk}]{e.perplexity:.4f}," for e in estimates)
    assert last == f"Final estimate: PPL = {estimates[1].perplexity:.4f} +/- {estimates[1].uncertainty:.5f}"
    words = ["perplexity", "-f", str(text), "-c", "128", "--chunks", "2", "--ppl-output-type", "1", "-ctk", "q4_0"]
    assert main([*words, "--backend", "numpy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1].split()[0] == "128"
    rough = float(lines[1].split()[1])
    assert rough == pytest.approx(estimates[1].perplexity, rel=0.1)
    assert rough != pytest.approx(estimates[1].perplexity, rel=1e-4)  # keys of 4 bits


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "-f and -p: expected one of them"),
        (["-p", "a", "-f", "b"], "-f and -p: expected one of them"),
        (["-f", "absent.txt"], "absent.txt: No such file"),
        (["-p", "short"], "a text of "),
        (["-p", "x", "-c", "2"], "expected an integer from 3"),
        (["-p", "x", "--temp", "0.5"], "is an option of another command"),
        (["-p", "x", "--grammar", "root ::= [a]"], "is an option of another command"),
        (["-p", "x", "--chunks", "0"], "expected an integer from 1"),
    ],
)
def test_mistakes_of_the_command(words, message, capsys):
    assert main(["perplexity", "--backend", "numpy", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_adapters_count(tmp_path):
    writer = GGUFWriter(tmp_path / "lora.gguf", "llama")
    for key, value in (("general.type", "adapter"), ("adapter.type", "lora")):
        writer.add(key, value)
    writer.add("adapter.lora.alpha", 4.0)
    random = np.random.default_rng(0)
    for name, shape in (("lora_a", (4, 192)), ("lora_b", (192, 4))):
        writer.add_tensor(f"blk.0.attn_q.weight.{name}", random.standard_normal(shape).astype(np.float32))
    writer.write()
    text, found = TEXT.read_text()[:3000], []
    for lora in ([], [(tmp_path / "lora.gguf", 0.0)], [(tmp_path / "lora.gguf", 1.0)]):
        *_, last = perplexity(llamabox.load(tiny_chat_path(), backend="numpy", lora=lora), text, n_ctx=128)
        found.append(last.perplexity)
    assert found[0] == found[1] != found[2]
