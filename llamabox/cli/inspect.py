"""`llamabox inspect FILE`: show the metadata and tensors of a GGUF file, or the ops of its model."""

import json
import math
from collections.abc import Sequence

from llamabox.cli.arguments import Arguments
from llamabox.cli.graphs import Recorded, graph_json, print_graph
from llamabox.cli.options import OptionError

SHOWN_ITEMS = 6  # of an array
SHOWN_CHARACTERS = 80  # of a string


def main(argv: Sequence[str]) -> int:
    """Print a file's metadata and tensor table, or each weight's kernel, or the ops of a forward pass."""
    from llamabox.gguf import open_gguf

    args = _parse(argv)
    file = open_gguf(args.file, overrides=args.override_kv)
    if args.graph:
        recorded = Recorded(file, args.rows)
        print(json.dumps(graph_json(recorded))) if args.json else print_graph(recorded, _print_table)
    elif args.kernels:
        _print_table(["tensor", "shape", "type", "kernel"], list(_kernel_rows(file, args.backend)), right=())
    elif args.json:
        print(json.dumps(as_json(file)))
    else:
        _print_file(file)
    return 0


def _parse(argv):
    parser = Arguments("llamabox inspect", description="Show the metadata and tensors of a GGUF file.")
    parser.add_argument("file", metavar="FILE", help="a GGUF file; of a split model, the first part")
    parser.add_argument("--json", action="store_true", help="print everything, unabbreviated, as one JSON object")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--kernels", action="store_true", help="show which kernel computes with each weight")
    what.add_argument("--graph", action="store_true", help="show the ops of one forward pass and what they cost")
    parser.add_argument("--rows", type=int, default=1, metavar="N", help="tokens of that pass (default: 1)")
    parser.add_argument("--backend", default="cpu", help="the backend to ask for --kernels (default: cpu)")
    parser.add_argument(
        "--override-kv", action="append", default=[], metavar="KEY=TYPE:VALUE",
        help="change or add a metadata value; TYPE is int, float, bool or str; may be given often",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.kernels and args.json:
        raise OptionError("--json, --kernels: found both, expected one")
    return args


def as_json(file) -> dict:
    """Everything but the tensor data, in types that JSON has; invalid UTF-8 as surrogate escapes, nan as text."""
    return {
        "file": str(file.path),
        "version": file.version,
        "byte_order": file.byte_order,
        "metadata": {key: _plain(value) for key, value in file.metadata.items()},
        "tensors": [
            {"name": t.name, "shape": list(t.shape), "type": t.type.name, "bytes": t.nbytes}
            for t in file.tensors.values()
        ],
    }


def _plain(value):
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def _print_file(file):
    print(f"{file.path}: GGUF version {file.version}, {file.byte_order}-endian\n")
    rows = [[key, _type_name(file.value_types[key]), _brief(value)] for key, value in file.metadata.items()]
    _print_table(["key", "type", "value"], rows, right=())
    print()
    tensors = list(file.tensors.values())
    rows = [[t.name, _shape(t), t.type.name, f"{t.nbytes:,}"] for t in tensors]
    _print_table(["tensor", "shape", "type", "bytes"], rows, right=(3,))
    n_values, n_bytes = sum(t.n_values for t in tensors), sum(t.nbytes for t in tensors)
    print(f"\n{len(tensors)} tensors, {n_values:,} weights, {n_bytes:,} bytes ({n_bytes / 2**20:.2f} MiB)")
    for name, count, size in _by_type(tensors):
        print(f"  {name:8} {count:5} tensors  {size / 2**20:10.2f} MiB")


def _by_type(tensors):
    """(type name, tensors, bytes) of each type, the largest first."""
    totals: dict[str, list[int]] = {}
    for tensor in tensors:
        total = totals.setdefault(tensor.type.name, [0, 0])
        total[0] += 1
        total[1] += tensor.nbytes
    return sorted(((name, *total) for name, total in totals.items()), key=lambda row: -row[2])


def _kernel_rows(file, backend):
    from llamabox.kernels import open_backend

    ops = open_backend(backend)
    for tensor in file.tensors.values():
        is_matrix = len(tensor.shape) in (2, 3)  # nothing is multiplied by the others
        kernel = ops.kernel_name(ops.weight(tensor)) if is_matrix else "-"
        yield [tensor.name, _shape(tensor), tensor.type.name, kernel]


def _type_name(types):
    """(ARRAY, STRING) -> "string[]"."""
    return types[-1].name.lower() + "[]" * (len(types) - 1)


def _brief(value):
    """A value on one line: long strings and arrays are cut, and say how long they are."""
    if isinstance(value, str):
        text = json.dumps(value[:SHOWN_CHARACTERS], ensure_ascii=False)
        return text if len(value) <= SHOWN_CHARACTERS else f"{text}... ({len(value):,} characters)"
    if isinstance(value, bool | int | float):
        return (
            str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
        )
    shown = ", ".join(_brief(item) for item in _plain(value[:SHOWN_ITEMS]))
    return f"[{shown}]" if len(value) <= SHOWN_ITEMS else f"[{shown}, ...] ({len(value):,} items)"


def _printable(text):
    """The text with what could steer a terminal, and what is no Unicode, written as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _shape(tensor):
    return " x ".join(str(n) for n in tensor.shape)


def _print_table(headings, rows, right):
    """Columns as wide as their widest cell, those numbered in `right` aligned to the right; no control characters."""
    headings, *rows = [[_printable(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    for row in [headings, ["-" * len(heading) for heading in headings], *rows]:
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
