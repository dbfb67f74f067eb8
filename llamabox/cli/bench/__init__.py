"""`llamabox bench`: tokens a second of prompts and of generation, with llama-bench's options, tables and field names.

parameters.py  the options, and the product of all their values
running.py     one test: warm up, repeat, measure
output.py      md, csv, json, jsonl and sql
"""

import sys
import time
from collections.abc import Sequence

from llamabox.cli.bench.output import printers
from llamabox.cli.bench.parameters import Settings, Test, parse_bench
from llamabox.cli.logs import log_as_asked
from llamabox.cli.options import parse_options


def main(argv: Sequence[str]) -> int:
    """Run every test that the options ask for; a row of output each as it ends."""
    settings = parse_bench(argv)
    if settings.action:
        return _act(settings.action)
    options = parse_options([])
    log_as_asked(options, 1 if settings.verbose else -1)
    _measure(settings)
    return 0


def _act(action: str) -> int:
    from llamabox.cli.actions import do_action
    from llamabox.cli.options import ALL_OPTIONS

    return do_action(action, ALL_OPTIONS.only("action"), "llamabox bench")


def _measure(settings: Settings) -> None:
    from llamabox.cli.bench.running import Bench

    outs = printers(settings)
    bench = Bench(max(test.n_tokens for test in settings.tests), settings.numa, settings.prio)
    bench.check(settings.tests)
    for number, test in enumerate(settings.tests, start=1):
        time.sleep(settings.delay)
        result = bench.run(test, settings.repetitions, settings.warmup, _teller(settings, number))
        for out in outs:
            if number == 1:  # nothing is printed of a run that fails at once
                out.begin()
            out.row(result)
    for out in outs:
        out.end()


def _teller(settings: Settings, number: int):
    """A function that says on standard error, if --progress asks for it, what a test is about to do."""

    def tell(what: str) -> None:
        if settings.progress:
            print(f"llamabox bench: test {number}/{len(settings.tests)}: {what}", file=sys.stderr, flush=True)

    return tell


__all__ = ["Settings", "Test", "main"]
