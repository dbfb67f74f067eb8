"""`llamabox tokenize`."""

import io
from pathlib import Path

import pytest

from llamabox.cli.main import main

VOCAB = str(Path(__file__).parents[2] / "conformance" / "vocabs" / "ggml-vocab-gpt-2.gguf")


def test_a_line_a_token(capsys):
    assert main(["tokenize", VOCAB, "Hello \U0001f680\n"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        " 15496 -> 'Hello'",
        " 12520 -> b' \\xf0\\x9f'",
        "   248 -> b'\\x9a'",
        "   222 -> b'\\x80'",
        "   198 -> '\\n'",
    ]


def test_ids_and_their_number(capsys):
    assert main(["tokenize", VOCAB, "Hello<|endoftext|>", "--ids", "--show-count"]) == 0
    assert capsys.readouterr().out == "[15496, 50256]\nTotal number of tokens: 2\n"
    assert main(["tokenize", VOCAB, "Hello<|endoftext|>", "--ids", "--no-parse-special"]) == 0
    assert capsys.readouterr().out == "[15496, 27, 91, 437, 1659, 5239, 91, 29]\n"


def test_bos_is_left_out_on_request(capsys):
    override = ["--override-kv", "tokenizer.ggml.add_bos_token=bool:true"]
    assert main(["tokenize", VOCAB, "Hello", "--ids", *override]) == 0
    assert main(["tokenize", VOCAB, "Hello", "--ids", "--no-bos", *override]) == 0
    assert capsys.readouterr().out == "[50256, 15496]\n[15496]\n"


def test_text_from_a_file_and_from_standard_input(capsys, monkeypatch, tmp_path):
    (tmp_path / "text").write_bytes(b"Hello world")
    assert main(["tokenize", VOCAB, "--ids", "--file", str(tmp_path / "text")]) == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Hello world")))
    assert main(["tokenize", VOCAB, "--ids", "--stdin"]) == 0
    assert capsys.readouterr().out == "[15496, 995]\n" * 2


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "no text: expected TEXT, --file PATH or --stdin"),
        (["a", "--stdin"], "not allowed with argument TEXT"),
        (["a", "--override-kv", "tokenizer.ggml.pre=str:x9"], "unknown pre-tokenizer 'x9'"),
    ],
)
def test_mistakes_are_one_line(capsys, words, message):
    assert main(["tokenize", VOCAB, *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
