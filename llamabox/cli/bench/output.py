"""Results as llama-bench prints them: md, csv, json, jsonl, sql."""

import csv
import io
import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, TextIO

from llamabox import __version__
from llamabox.cli.bench.parameters import Settings
from llamabox.cli.bench.running import Result
from llamabox.gguf.mixture import MIXTURES

# Columns of the md table: field -> (heading, width, aligned to the right).
COLUMNS = {
    "model": ("model", 30, False),
    "size": ("size", 10, True),
    "params": ("params", 10, True),
    "backend": ("backend", 10, False),
    "n_threads": ("threads", 7, True),
    "n_gpu_layers": ("ngl", 3, True),
    "n_batch": ("n_batch", 7, True),
    "n_ubatch": ("n_ubatch", 8, True),
    "type_k": ("type_k", 6, False),
    "type_v": ("type_v", 6, False),
    "split_mode": ("sm", 6, False),
    "no_kv_offload": ("nkvo", 10, True),
    "flash_attn": ("fa", 3, True),
    "load_mode": ("lm", 10, False),
    "embeddings": ("embd", 10, True),
    "devices": ("dev", 12, False),
    "tensor_split": ("ts", 10, False),
    "tensor_buft_overrides": ("ot", 10, False),
    "cpu_mask": ("cpu_mask", 10, False),
}
ALWAYS = ("model", "size", "params", "backend", "n_threads")
IN_ROWS = (
    "model_filename",
    "hf_repo",
    "n_depth",
    "n_threads",
    "backend",
)  # what rows say without a column of their own


def fields(result: Result) -> dict[str, Any]:
    """llama-bench's fields, in its order, under its names."""
    values, file, ops = result.test.values, result.model.model.file, result.model.model.ops
    rates, times = result.samples_ts, result.samples_ns
    tensors = file.tensors.values()
    return {
        "build_commit": __version__,
        "build_number": 0,
        "cpu_info": _cpu(),
        "gpu_info": _gpu(ops),
        "backends": ops.name,
        "model_filename": values["model_filename"] or values["hf_repo"],
        "model_type": model_type(result),
        "model_size": sum(tensor.nbytes for tensor in tensors),
        "model_n_params": sum(tensor.n_values for tensor in tensors),
        **{name: values[name] for name in ("n_batch", "n_ubatch")},
        "n_threads": ops.begin(2).number,
        **{name: values[name] for name in ("cpu_mask", "cpu_strict", "poll", "type_k", "type_v", "n_gpu_layers")},
        **{name: values[name] for name in ("n_cpu_moe", "split_mode", "main_gpu", "no_kv_offload", "flash_attn")},
        **{name: values[name] for name in ("devices", "tensor_split", "tensor_buft_overrides", "load_mode")},
        "lazy_mode": "auto",
        "embeddings": values["embeddings"],
        "no_op_offload": 0,
        "no_host": False,
        "repack": False,
        "fit_target": 0,
        "fit_min_ctx": 0,
        "n_prompt": result.test.n_prompt,
        "n_gen": result.test.n_gen,
        "n_depth": values["n_depth"],
        "test_time": result.began.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "avg_ns": round(statistics.fmean(times)),
        "stddev_ns": round(_deviation(times)),
        "avg_ts": statistics.fmean(rates),
        "stddev_ts": _deviation(rates),
    }


def model_type(result: Result) -> str:
    """Architecture, size and mixture of types, or the type of most weights: "qwen2 494.03M Q4_K_M"."""
    loaded = result.model.model
    sizes: Counter[str] = Counter()
    for tensor in loaded.file.tensors.values():
        sizes[tensor.type.name] += tensor.n_values
    names = {number: name for name, (number, _) in MIXTURES.items()}
    name = names.get(loaded.file.metadata.get("general.file_type"), sizes.most_common(1)[0][0])
    return f"{loaded.arch} {_parameters(sizes.total()).replace(' ', '')} {name}"


def label(result: Result) -> str:
    """pp512, tg128, pp512+tg128, and "@ d4096" behind it for a test that begins so deep."""
    parts = [f"{kind}{n}" for kind, n in (("pp", result.test.n_prompt), ("tg", result.test.n_gen)) if n > 0]
    depth = result.test.values["n_depth"]
    return "+".join(parts) + (f" @ d{depth}" if depth > 0 else "")


class Markdown:
    """A table for people: the model, what was asked for, tokens a second."""

    def __init__(self, settings: Settings, stream: TextIO):
        self._stream = stream
        shown = [name for name in settings.chosen if name in COLUMNS and name not in ALWAYS]
        others = [name for name in settings.chosen if name not in COLUMNS and name not in IN_ROWS]
        columns = [COLUMNS[name] for name in (*ALWAYS, *sorted(shown))]
        self._fields = [*ALWAYS, *sorted(shown), *sorted(others)]
        self._columns = [*columns, *((name, 10, True) for name in sorted(others))]
        self._columns += [("test", 15, True), ("t/s", 20, True)]

    def begin(self) -> None:
        self._line([heading for heading, _, _ in self._columns])
        rules = ["-" * (width - 1) + (":" if right else "-") for _, width, right in self._columns]
        self._line(rules)

    def row(self, result: Result) -> None:
        found = fields(result)
        cells = {
            "model": found["model_type"],
            "size": _size(found["model_size"]),
            "params": _parameters(found["model_n_params"]),
            "backend": found["backends"],
        }
        row = [str(cells.get(name, _plain(found.get(name)))) for name in self._fields]
        self._line([*row, label(result), f"{found['avg_ts']:.2f} ± {found['stddev_ts']:.2f}"])

    def end(self) -> None:
        print(f"\nbuild: llamabox {__version__}", file=self._stream, flush=True)

    def _line(self, cells: list[str]) -> None:
        sized = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, (_, width, right) in zip(cells, self._columns, strict=True)
        ]
        print(f"| {' | '.join(sized)} |", file=self._stream, flush=True)


class Csv:
    """A line of field names, then a line a test."""

    def __init__(self, settings: Settings, stream: TextIO):
        self._stream, self._first = stream, True

    def begin(self) -> None: ...

    def row(self, result: Result) -> None:
        found = {name: _plain(value) for name, value in fields(result).items()}
        text = io.StringIO()
        if self._first:
            text.write(",".join(found) + "\n")
        csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(found.values())
        self._first = False
        print(text.getvalue(), file=self._stream, end="", flush=True)

    def end(self) -> None: ...


class Json:
    """One array of objects, samples included."""

    def __init__(self, settings: Settings, stream: TextIO):
        self._stream, self._first = stream, True

    def begin(self) -> None:
        print("[", file=self._stream)

    def row(self, result: Result) -> None:
        text = json.dumps(with_samples(result), indent=2).replace("\n", "\n  ")
        print(f"{'' if self._first else ',' + chr(10)}  {text}", file=self._stream, end="", flush=True)
        self._first = False

    def end(self) -> None:
        print("\n]", file=self._stream, flush=True)


class Jsonl:
    """An object a line."""

    def __init__(self, settings: Settings, stream: TextIO):
        self._stream = stream

    def begin(self) -> None: ...

    def row(self, result: Result) -> None:
        print(json.dumps(with_samples(result)), file=self._stream, flush=True)

    def end(self) -> None: ...


class Sql:
    """Statements that put the results into a table called llama_bench, as llama-bench's own do."""

    def __init__(self, settings: Settings, stream: TextIO):
        self._stream, self._first = stream, True

    def begin(self) -> None: ...

    def row(self, result: Result) -> None:
        found = fields(result)
        if self._first:
            kinds = {bool: "INTEGER", int: "INTEGER", float: "REAL", str: "TEXT"}
            columns = ",\n".join(f"  {name} {kinds[type(value)]}" for name, value in found.items())
            print(f"CREATE TABLE IF NOT EXISTS llama_bench (\n{columns}\n);\n", file=self._stream)
        self._first = False
        values = ", ".join("'" + _plain(value).replace("'", "''") + "'" for value in found.values())
        print(f"INSERT INTO llama_bench ({', '.join(found)}) VALUES ({values});", file=self._stream, flush=True)

    def end(self) -> None: ...


Printer = Markdown | Csv | Json | Jsonl | Sql
PRINTERS: dict[str, Callable[[Settings, TextIO], Printer]] = {
    "md": Markdown,
    "csv": Csv,
    "json": Json,
    "jsonl": Jsonl,
    "sql": Sql,
}


def printers(settings: Settings) -> list[Printer]:
    """What -o and -oe ask for."""
    outs = [PRINTERS[settings.output](settings, sys.stdout)]
    return outs if settings.output_err is None else [*outs, PRINTERS[settings.output_err](settings, sys.stderr)]


def with_samples(result: Result) -> dict[str, Any]:
    """fields and every repetition."""
    return {**fields(result), "samples_ns": result.samples_ns, "samples_ts": result.samples_ts}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _deviation(samples: list) -> float:
    return statistics.stdev(samples) if len(samples) > 1 else 0.0


def _size(count: int) -> str:
    return f"{count / 2**20:.2f} MiB" if count < 2**30 else f"{count / 2**30:.2f} GiB"


def _parameters(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count < 1e9 else f"{count / 1e9:.2f} B"


def _cpu() -> str:
    from llamabox.kernels.host import cpu_name

    return cpu_name()


def _gpu(ops: Any) -> str:
    return getattr(ops, "device_description", "")
