"""What `chat` and `complete` share: where the prompt comes from, and text that appears as it is generated."""

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from llamabox.cli.grammar import grammar_of
from llamabox.cli.model import sampling_arguments
from llamabox.cli.options import OptionError, Options
from llamabox.cli.options.parsers import is_utf8, unescape

if TYPE_CHECKING:
    from llamabox.api import Model


def given_prompt(options: Options) -> str | None:
    """The prompt: the argument of the command line or, without one, what is piped into standard input.

    None when there is neither, or when it is empty. Errors: OptionError for bytes that are not UTF-8
    """
    if options.arguments:
        prompt = unescape(options.arguments[0]) if options.escape else options.arguments[0]
        if not is_utf8(prompt):
            raise OptionError(f"prompt: found {prompt[:40]!r}, expected a text in UTF-8")
    elif at_terminal():
        return None
    else:
        prompt = _piped()
    return prompt if prompt else None


def at_terminal() -> bool:
    """Whether somebody can type into standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def _piped() -> str:
    if sys.stdin is None:  # it was closed
        return ""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise OptionError(f"standard input: found byte {found:#x}, expected a text in UTF-8") from None


def pieces(model: "Model", prompt: str | Sequence[int], options: Options) -> Generator[str, None, None]:
    """The pieces of text that the model adds to the prompt, sampled as the options say."""
    how = {"n_predict": options.n_predict, "special": options.special, "grammar": grammar_of(options)}
    yield from model.generate(prompt, **how, **sampling_arguments(options))


def show(texts: Generator[str, None, None]) -> str:
    """Print pieces of text as they come, end the line, and return the whole text."""
    whole = []
    with closing(texts):
        for text in texts:
            whole.append(text)
            print(text, end="", flush=True)
    print()
    return "".join(whole)
