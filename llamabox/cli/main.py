"""The programs: `llamabox COMMAND` and `llama-box [options]`, which is `llamabox serve`."""

import gc
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from llamabox.cli.failures import run

# New objects between looks for garbage. What a start makes stays, and Python's 700 make it look again and again through
# modules and vocabularies: a twentieth of the time.
COLLECT_AFTER = 50_000

# command -> what it does; its module in this package has main(argv) -> exit code
COMMANDS = {
    "serve": "serve a model over HTTP with the OpenAI API",
    "chat": "chat with a model in the terminal",
    "complete": "continue a text",
    "tokenize": "show the tokens of a text",
    "inspect": "show the metadata and tensors of a GGUF file",
    "quantize": "write a GGUF file with smaller weights",
    "convert": "turn a Hugging Face model folder into a GGUF file",
    "bench": "measure tokens a second, as llama-bench does",
    "perplexity": "measure how well a model predicts a text",
    "devices": "list the devices that models can run on",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `llamabox COMMAND ...` and return its exit code: 0, 2 for a mistake in what the user gave, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        print(usage(), file=sys.stderr, end="")
        return 2
    return _run(_command, words)


def llama_box(argv: Sequence[str] | None = None) -> int:
    """Run `llama-box [options]`, the same as `llamabox serve [options]`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return _run(lambda words: _module("serve").main(words, program="llama-box"), words)


def _run(command: Callable[[list[str]], int], words: list[str]) -> int:
    gc.set_threshold(COLLECT_AFTER)
    return run(command, words)


def usage() -> str:
    """The text of `llamabox --help`."""
    rows = "\n".join(f"  {name:10} {what}" for name, what in COMMANDS.items())
    return (
        "usage: llamabox COMMAND [options]\n\n"
        f"commands:\n\n{rows}\n\n"
        "  llamabox COMMAND --help lists the options of a command.\n"
        "  llamabox serve, without a model, serves the tiny chat model that ships with llamabox.\n\n"
        "  -h, --help      print usage and exit\n"
        "  --version       print version and exit\n"
        "  --system-info   print system info and exit\n"
        "  --list-devices  print list of available devices and exit\n"
    )


def _command(words: list[str]) -> int:
    from llamabox.cli.options import ALL_OPTIONS, OptionError, parse_options

    name, rest = words[0], words[1:]
    if name in COMMANDS:
        return _module(name).main(rest)
    if not name.startswith("-"):
        raise OptionError(f"command: found {name!r}, expected one of {', '.join(COMMANDS)}")
    action = parse_options([name], table=ALL_OPTIONS.only("action")).action
    if action == "help":
        print(usage(), end="")
        return 0
    return _module("actions").do_action(action, ALL_OPTIONS, "")


def _module(name: str):
    return import_module(f"llamabox.cli.{name}")
