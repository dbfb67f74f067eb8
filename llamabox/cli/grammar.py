"""What every answer has to be: --grammar, --json-schema and their files -> the grammar."""

from pathlib import Path
from typing import TYPE_CHECKING

from llamabox.cli.options import OptionError, Options

if TYPE_CHECKING:
    from llamabox.engine import Grammar

GRAMMAR = ("grammar", "grammar_file", "json_schema", "json_schema_file")


def grammar_of(options: Options) -> "Grammar | None":
    """The grammar that the options name.

    Errors:  OptionError for two of them, a file that cannot be read, or a grammar that cannot be built
    """
    given = [dest for dest in GRAMMAR if options.given(dest) and getattr(options, dest)]
    if not given:
        return None
    if len(given) > 1:
        names = " and ".join(options.source(dest) for dest in given)
        raise OptionError(f"{names}: found both, expected one grammar or schema")

    from llamabox.engine import Grammar
    from llamabox.engine.constrain import GrammarError
    from llamabox.engine.constrain.accepting import check_grammar

    [dest] = given
    source = getattr(options, dest)
    if dest.endswith("_file"):
        source = _read(options.source(dest), Path(source))
    grammar = Grammar("json_schema" if dest.startswith("json") else "gbnf", source)
    try:
        check_grammar(grammar)
    except GrammarError as error:
        raise OptionError(f"{options.source(dest)}: {error}") from None
    return grammar


def _read(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{name} {path}: {error.strerror}, expected a file to read") from None
    except UnicodeDecodeError:
        raise OptionError(f"{name} {path}: found bytes that are not UTF-8, expected a text") from None
