"""tools/make_model.py: a skeleton and a vocabulary become a model that runs."""

import sys
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.gguf import GGMLType, open_gguf

ROOT = Path(__file__).resolve().parents[2]
SKELETONS = ROOT / "conformance" / "archs" / "skeletons"
VOCABS = ROOT / "conformance" / "vocabs"


sys.path.append(str(ROOT / "tools"))
import make_model  # noqa: E402


@pytest.fixture
def make(monkeypatch):
    """(skeleton, vocabulary, path, *options): run the tool."""

    def run(skeleton, vocab, out, *options):
        arguments = [str(skeleton), str(VOCABS / f"ggml-vocab-{vocab}.gguf"), str(out), *options]
        monkeypatch.setattr(sys, "argv", ["make_model.py", *arguments])
        make_model.main()

    return run


@pytest.mark.parametrize(
    "skeleton,vocab,n_vocab,text", [("llama", "llama-spm", 32000, "Hello"), ("bert-rank", "bert-bge", 30522, "Hello")]
)
def test_a_made_model_runs_on_text(make, tmp_path, skeleton, vocab, n_vocab, text):
    make(SKELETONS / f"{skeleton}.json", vocab, tmp_path / "m.gguf", "--context", "100", "--type", "q8_0")
    model = llamabox.load(tmp_path / "m.gguf", backend="numpy")
    assert model.config.n_vocab == n_vocab and model.n_ctx == 100
    ids = model.tokenizer.encode(text)
    found = model.embed(ids) if model.model.is_encoder else model.logits(ids)
    assert np.isfinite(found).all() and np.abs(found).max() > 0
    file = open_gguf(tmp_path / "m.gguf")
    assert file.tensors["token_embd.weight"].type == GGMLType.Q8_0
    assert file.tensors["blk.0.ffn_down.weight"].type == GGMLType.Q8_0
    assert all(t.type == GGMLType.F32 for t in file.tensors.values() if len(t.shape) == 1)


def test_the_seed_alone_decides_the_bytes(make, tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        make(SKELETONS / "llama.json", "bert-bge", tmp_path / name, "--seed", seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b and a != c and len(a) == len(c)


def test_an_unknown_type_is_refused(make, tmp_path, capsys):
    with pytest.raises(SystemExit):
        make(SKELETONS / "llama.json", "bert-bge", tmp_path / "m.gguf", "--type", "q9_9")
    assert "--type Q9_9: expected one of F32" in capsys.readouterr().err
