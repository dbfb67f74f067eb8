"""`llamabox quantize IN OUT TYPE`: write a GGUF file with smaller weights."""

import argparse
from collections.abc import Sequence

from llamabox.cli.arguments import Arguments


def main(argv: Sequence[str]) -> int:
    """Quantise a file; a bar shows the progress on a terminal."""
    from llamabox.gguf import open_gguf
    from llamabox.gguf.requantize import plan_types, write_requantized

    args = _parse(argv)
    file = open_gguf(args.input, overrides=args.override_kv)
    types = plan_types(file, args.type, args.pure, args.allow_requantize)
    with _progress_bar(len(types)) as step:
        write_requantized(file, args.output, args.type, types, args.threads, progress=step)
    _print_sizes(file, types)
    return 0


def _parse(argv):
    from llamabox.gguf.mixture import ALIASES, MIXTURES

    parser = Arguments("llamabox quantize", description="Write a GGUF file with smaller weights.")
    parser.add_argument("input", metavar="IN", help="a GGUF file; of a split model, the first part")
    parser.add_argument("output", metavar="OUT", help="the file to write; it appears when it is complete")
    names = ", ".join([*MIXTURES, *ALIASES])
    parser.add_argument("type", metavar="TYPE", help=f"one of {names}, mixed as llama-quantize does")
    parser.add_argument("--pure", action="store_true", help="one type for all matrices, no mixture")
    parser.add_argument("--allow-requantize", action="store_true", help="also take weights that are quantised already")
    parser.add_argument("-t", "--threads", type=_positive, help="threads to use (default: one per core)")
    parser.add_argument(
        "--override-kv", action="append", default=[], metavar="KEY=TYPE:VALUE",
        help="change or add a metadata value; TYPE is int, float, bool or str; may be given often",
    )  # fmt: skip
    return parser.parse_args(argv)


def _positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected 1 or more")
    return number


def _progress_bar(n_tensors):
    """A context whose value is called after each tensor; it draws on standard error, if that is a terminal."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    @contextmanager
    def bar():
        columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("", total=n_tensors)
            yield lambda name: progress.update(task, advance=1, description=name)

    return bar()


def _print_sizes(file, types):
    old = sum(tensor.nbytes for tensor in file.tensors.values())
    new = sum(
        tensor.n_values // types[name].block_size * types[name].type_size for name, tensor in file.tensors.items()
    )
    n_values = sum(tensor.n_values for tensor in file.tensors.values())
    for what, size in (("before", old), ("after", new)):
        print(f"{what}: {size / 2**20:.2f} MiB, {8 * size / max(n_values, 1):.2f} bits per weight")
