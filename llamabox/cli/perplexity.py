"""`llamabox perplexity`: how well a model predicts a text; options and lines as llama-perplexity's."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llamabox.cli.actions import do_action
from llamabox.cli.compiling import show_compiling
from llamabox.cli.devices import check_devices
from llamabox.cli.grammar import GRAMMAR
from llamabox.cli.logs import log_as_asked
from llamabox.cli.model import LOCAL, SAMPLING, load_arguments, model_path
from llamabox.cli.options import ALL_OPTIONS, Group, Option, OptionError, Options, Table, parse_options
from llamabox.cli.options.parsers import Choice, Integer, any_text, path
from llamabox.cli.placement import apply_affinity

if TYPE_CHECKING:
    from llamabox.perplexity import Estimate

USAGE = "llamabox perplexity -f FILE [options]"
TEXT = (
    Option("text_file", "-f, --file FILE", (path,), help="the text to predict, in UTF-8"),
    Option("text", "-p, --prompt TEXT", (any_text,), help="the text itself"),
    Option("ctx_size", "-c, --ctx-size N", (Integer(3),), default=512, help="tokens a chunk (default: 512)"),
    Option("chunks", "--chunks N", (Integer(1),), help="most chunks to read (default: all)"),
    Option("ppl_output_type", "--ppl-output-type <0|1>", (Choice("0", "1"),), default="0",
           help="0: [chunk]perplexity, ...; 1: a line a chunk, with errors (default: 0)"),
)  # fmt: skip
# Of LOCAL: about what is generated, or of another default here.
UNUSED = {"ctx_size", "n_predict", "escape", "special", *SAMPLING, *GRAMMAR}
SHARED = ALL_OPTIONS.only("ubatch_size", *(dest for dest in LOCAL if dest not in UNUSED))
OPTIONS = Table((Group("perplexity", TEXT), *SHARED.groups))


def main(argv: Sequence[str]) -> int:
    """Print the estimate after each chunk, then the final one."""
    options = parse_options(argv, os.environ, OPTIONS)
    if options.action:
        return do_action(options.action, OPTIONS, USAGE)
    log_as_asked(options, options.verbosity if options.given("verbosity") else -1)
    check_devices(options)
    apply_affinity(options)
    _measure(options, _text(options))
    return 0


def _measure(options: Options, text: str) -> None:
    file = model_path(options)
    show_compiling()

    from llamabox.api import load
    from llamabox.perplexity import perplexity

    model = load(file, n_ctx=options.ctx_size, **load_arguments(options))
    began = time.perf_counter()
    for estimate in perplexity(model, text, options.ctx_size, options.ubatch_size, options.chunks):
        if estimate.chunk == 1 and sys.stderr.isatty():
            seconds = (time.perf_counter() - began) * (estimate.chunks - 1)
            print(f"{estimate.chunks} chunks, about {seconds:.0f} seconds more", file=sys.stderr)
        _print_chunk(estimate, options)
    if options.ppl_output_type == "0":
        print()
    print(f"Final estimate: PPL = {estimate.perplexity:.4f} +/- {estimate.uncertainty:.5f}")


def _print_chunk(estimate: "Estimate", options: Options) -> None:
    if options.ppl_output_type == "0":
        print(f"[{estimate.chunk}]{estimate.perplexity:.4f},", end="", flush=True)
    else:
        start, spread = (estimate.chunk - 1) * options.ctx_size, estimate.uncertainty / estimate.perplexity
        print(f"{start:8}  {estimate.perplexity:.4f}  {estimate.mean:4f}  {spread:4f}", flush=True)


def _text(options: Options) -> str:
    if options.given("text_file") == options.given("text"):
        raise OptionError("-f and -p: expected one of them, the text to predict")
    if options.given("text"):
        return options.text
    try:
        return Path(options.text_file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OptionError(
            f"-f {options.text_file}: found byte {error.object[error.start]:#x}, expected UTF-8"
        ) from None
