"""--grammar, --json-schema and their files: what answers are held to, and what is wrong at the start."""

import json

import pytest

from llamabox.cli.grammar import grammar_of
from llamabox.cli.main import main
from llamabox.cli.options import OptionError, parse_options
from llamabox.engine import Grammar

GBNF = 'root ::= "yes" | "no"'
SCHEMA = '{"type": "integer"}'


def test_without_options_any_text_will_do():
    assert grammar_of(parse_options([])) is None


def test_texts_and_files(tmp_path):
    grammar, schema = tmp_path / "g.gbnf", tmp_path / "s.json"
    grammar.write_text(GBNF)
    schema.write_text(SCHEMA)
    for words in (["--grammar", GBNF], ["--grammar-file", str(grammar)]):
        assert grammar_of(parse_options(words)) == Grammar("gbnf", GBNF)
    for words in (["-j", SCHEMA], ["--json-schema", SCHEMA], ["-jf", str(schema)], ["--json-schema-file", str(schema)]):
        found = grammar_of(parse_options(words))
        assert (found.kind, json.loads(found.source)) == ("json_schema", json.loads(SCHEMA))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grammar", "root ::= ("], "--grammar"),
        (["--grammar", GBNF, "-j", SCHEMA], "found both"),
        (["--grammar-file", "/no/such/file"], "/no/such/file"),
        (["-j", '{"type": "nonsense"}'], "-j: at #"),
    ],
)
def test_mistakes_are_one_line(words, message):
    with pytest.raises(OptionError) as found:
        grammar_of(parse_options(words))
    assert message in str(found.value) and "\n" not in str(found.value)


@pytest.mark.parametrize("options", [["--grammar", GBNF], ["-j", '{"enum": ["yes", "no"]}']])
def test_complete_and_chat_are_held_to_it(options, capsys):
    for command in ("complete", "chat"):
        assert main([command, "--backend", "numpy", "-n", "20", *options, "Is the sea wide?"]) == 0
        assert capsys.readouterr().out.strip().strip('"').endswith(("yes", "no"))
