"""`llamabox inspect FILE --graph`: the ops of one forward pass, with what each reads, makes and costs."""

from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np

from llamabox.cli.options import OptionError

HEADINGS = ["op", "result", "shape", "type", "of"]


class Recorded:
    """One forward pass of a file's model, recorded: a sequence of `rows` tokens from its beginning.

    Errors:  OptionError for more rows than the model's context; ModelError for a file that makes no model
    """

    def __init__(self, file: Any, rows: int):
        from llamabox.kernels import Rows, make_step, open_backend
        from llamabox.kernels.costs import cost
        from llamabox.kernels.graph import record
        from llamabox.models import load_model
        from llamabox.models.binding import weight_names

        model = load_model(file, open_backend("numpy"))
        limit = model.n_ctx_limit if model.n_ctx_limit is not None else model.config.n_ctx_train
        if not 1 <= rows <= limit:
            raise OptionError(f"--rows: found {rows}, expected 1 to {limit}, the model's context")
        self.arch, self.rows = model.arch, rows
        self.function = "hidden" if model.is_encoder else "forward"
        step = make_step([Rows(0, rows, (), "all" if model.is_encoder else "last")], None, model.causal)
        maths = getattr(model.module, self.function)
        self.weights = model.weights  # its ids are the keys of `names`
        self.names = weight_names(model.weights, model.module.tensors(model.config))
        self.graph = record(model.ops, maths, model.weights, model.config, np.zeros(rows, np.int32), step)
        self.costs = [cost(node, step) for node in self.graph.nodes]
        self._inputs = {value.id: name for name, value in self.graph.inputs.items()}

    @property
    def total(self) -> tuple[int, int]:
        """Multiply-adds and bytes of weights of the whole pass."""
        return sum(c.multiply_adds for c in self.costs), sum(c.weight_bytes for c in self.costs)

    def label(self, value: Any) -> str:
        """llama.cpp's name of a value where the model gave it one, or its number as %7."""
        names = self.graph.names_of.get(value.id)
        return names[0] if names else self._inputs.get(value.id, f"%{value.id}")

    def by_op(self) -> list[tuple[str, int, int, int]]:
        """(op, nodes, multiply-adds, bytes of weights), those that cost most first."""
        totals: dict[str, list[int]] = {}
        for node, spent in zip(self.graph.nodes, self.costs, strict=True):
            total = totals.setdefault(node.op, [0, 0, 0])
            for i, amount in enumerate((1, *spent)):
                total[i] += amount
        found = [(op, nodes, macs, size) for op, (nodes, macs, size) in totals.items()]
        return sorted(found, key=lambda row: (-row[2], -row[3], -row[1], row[0]))

    def text(self, x: Any) -> str:
        """An argument in a few characters."""
        from llamabox.kernels import Weight
        from llamabox.kernels.graph import Value

        if isinstance(x, Value):
            return self.label(x)
        if isinstance(x, Weight):
            return f"{self.names.get(id(x), x.name)} {x.type.name}"
        if isinstance(x, tuple):
            return f"({', '.join(map(self.text, x))})"
        if isinstance(x, slice):
            return ":".join("" if end is None else str(end) for end in (x.start, x.stop, x.step)).removesuffix(":")
        if hasattr(x, "dtype") and getattr(x, "ndim", 0) > 0:
            return self.names.get(id(x), str(np.asarray(x).tolist()))
        if is_dataclass(x):  # what differs from its defaults
            given = {
                field.name: getattr(x, field.name) for field in fields(x) if getattr(x, field.name) != field.default
            }
            return f"{type(x).__name__}({', '.join(f'{key}={self.text(value)}' for key, value in given.items())})"
        return f"{x:g}" if isinstance(x, float) else "..." if x is Ellipsis else str(x)


def print_graph(recorded: Recorded, table: Any) -> None:
    """The ops in their order, one line a result, and a summary. table(headings, rows, right) prints columns."""
    rows = [line for node in recorded.graph.nodes for line in _lines(recorded, node)]
    table(HEADINGS, rows, right=())
    print()
    summary = [[op, str(count), f"{macs:,}", f"{size / 2**20:.2f}"] for op, count, macs, size in recorded.by_op()]
    table(["op", "nodes", "multiply-adds", "MiB of weights"], summary, right=(1, 2, 3))
    macs, size = recorded.total
    what = f"{recorded.arch} {recorded.function}, {recorded.rows} row{'s' * (recorded.rows > 1)}"
    per_token = f"{macs / recorded.rows:,.0f} multiply-adds and {size / recorded.rows:,.0f} bytes of weights a token"
    print(f"\n{what}: {len(recorded.graph.nodes)} ops, {per_token}")


def _lines(recorded: Recorded, node: Any) -> list[list[str]]:
    """One line a result; of linear_many each with its own weight and bias."""
    lines = []
    for i, value in enumerate(node.results):
        args = node.args
        if node.op == "linear_many":
            args = (args[0], args[1][i], args[2][i])
        given = [recorded.text(x) for x in args if x is not None]
        given += [f"{key}={recorded.text(x)}" for key, x in node.kwargs.items() if x is not None and x is not False]
        names = recorded.graph.names_of.get(value.id, [f"%{value.id}"])
        shape = " x ".join(map(str, value.shape))
        lines.append([node.op if i == 0 else "", ", ".join(names), shape, value.dtype.name, ", ".join(given)])
    return lines


def graph_json(recorded: Recorded) -> dict:
    """The same in types that JSON has."""
    graph, (macs, size) = recorded.graph, recorded.total
    return {
        "architecture": recorded.arch,
        "function": recorded.function,
        "rows": recorded.rows,
        "inputs": {name: _value(recorded, value) for name, value in graph.inputs.items()},
        "outputs": [value.id for value in graph.outputs],
        "nodes": [
            {
                "op": node.op,
                "args": [_argument(recorded, x) for x in node.args],
                "kwargs": {key: _argument(recorded, x) for key, x in node.kwargs.items()},
                "results": [_value(recorded, value) for value in node.results],
                **spent._asdict(),
            }
            for node, spent in zip(graph.nodes, recorded.costs, strict=True)
        ],
        "multiply_adds": macs,
        "weight_bytes": size,
    }


def _value(recorded: Recorded, value: Any) -> dict:
    names = recorded.graph.names_of.get(value.id, [])
    return {"id": value.id, "names": names, "shape": list(value.shape), "type": value.dtype.name}


def _argument(recorded: Recorded, x: Any) -> Any:
    """Numbers, texts and None as they are; what JSON has no word for as an object with one key that says what it is."""
    from llamabox.kernels import Weight
    from llamabox.kernels.graph import STEP, Value

    if isinstance(x, Value):
        return {"value": x.id}
    if isinstance(x, Weight):
        return {"weight": recorded.names.get(id(x), x.name), "type": x.type.name, "shape": list(x.shape)}
    if isinstance(x, tuple):
        return [_argument(recorded, item) for item in x]
    if isinstance(x, slice):
        return {"slice": [x.start, x.stop, x.step]}
    if x is STEP or x is Ellipsis:
        return {"constant": "step" if x is STEP else "ellipsis"}
    if is_dataclass(x):
        return {type(x).__name__.lower(): asdict(x)}  # type: ignore[arg-type]
    if hasattr(x, "dtype") and getattr(x, "ndim", 0) > 0:
        name = recorded.names.get(id(x))
        return {"weight": name, "type": "F32", "shape": list(x.shape)} if name is not None else np.asarray(x).tolist()
    return x.item() if isinstance(x, np.generic) else x
