"""Run the tiny model of every architecture on every backend and compare it with llama.cpp's stored outputs.

    python conformance/logits.py [--backends numpy,cpu] [--only NAME,NAME]

Writes conformance/results/logits.json and the table between the markers of docs/conformance.md; exits 1 when a model is
beyond its bound. What the references are, and how they are compared, stands in conformance/archs/README.md.
"""

import argparse
import json
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import llamabox
from llamabox.api import Model
from llamabox.kernels import BACKENDS, BLOCK, Rows, make_step
from llamabox.models import ARCHITECTURES
from llamabox.models.pooling import pool

HERE = Path(__file__).resolve().parent
ARCHS = HERE / "archs"
RESULTS = HERE / "results" / "logits.json"
DOCS = HERE.parent / "docs" / "conformance.md"
REFERENCE = "llama.cpp 0c1e57098 (llama-cpp-python 0.3.36), CPU, KV cache f32, flash attention off"
N_BATCH = 24  # tokens of the first batch in the step-by-step run
SELF_BOUND = 1e-11  # prefill against single steps where llama.cpp's own floor is lower: f32 sums in another order

sys.path.append(str(ARCHS))
import materialize  # noqa: E402


@dataclass(frozen=True)
class Case:
    """One tiny model, its file and llama.cpp's outputs.

    kind   "decoder", "encoder" or "rank"
    bound  NMSE against llama.cpp;  self_bound  NMSE of prefill against steps
    """

    name: str
    arch: str
    path: Path
    kind: str
    expected: dict[str, np.ndarray]
    bound: float
    self_bound: float

    @property
    def tokens(self) -> np.ndarray:
        return self.expected["tokens"].astype(np.int32)


def case_names() -> list[str]:
    """The skeletons whose architecture llamabox has."""
    archs = {path.stem: json.loads(path.read_text()).get("arch") for path in (ARCHS / "skeletons").glob("*.json")}
    return sorted(name for name, arch in archs.items() if arch in ARCHITECTURES)


def open_case(name: str, folder: Path) -> Case:
    """Materialise a skeleton into folder, unless it is there, and read its reference.

    Errors:  SystemExit when the weights are not those that the reference was made with
    """
    skeleton = materialize.load_skeleton(ARCHS / "skeletons" / f"{name}.json")
    with np.load(ARCHS / "expected" / f"{name}.npz") as stored:
        expected = dict(stored)
    path = folder / f"{name}.gguf"
    if not path.exists():
        crc = materialize.materialize(skeleton, path)
        if crc != int(expected["weights_crc32"]):
            sys.exit(f"{name}: the weights' CRC-32 is {crc:#x}, the reference has {int(expected['weights_crc32']):#x}")
    self_bound = max(float(expected["floor"]), SELF_BOUND)
    kind, bound = str(expected["kind"]), float(expected["threshold"])
    return Case(name, skeleton["arch"], path, kind, expected, bound, self_bound)


def nmse(reference: np.ndarray, found: np.ndarray) -> float:
    """((a - b)^2).sum() / (a^2).sum() in f64, over all values at once."""
    a, b = np.asarray(reference, np.float64), np.asarray(found, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"nmse: reference {a.shape} and result {b.shape} differ in shape")
    return float(((a - b) ** 2).sum() / (a**2).sum())


def load(case: Case, backend: str) -> Model:
    """The model as the reference ran it; these are too small for more than one thread."""
    return llamabox.load(case.path, backend=backend, cache_type_k="f32", cache_type_v="f32", threads=1)


def rows_at_once(case: Case, model: Model) -> np.ndarray:
    """Logits, or final hidden states, of every token, the whole sequence in one go, through the public face."""
    return model.logits(case.tokens) if case.kind == "decoder" else model.embed(case.tokens, "none")


def rows_in_steps(case: Case, model: Model) -> np.ndarray:
    """The same another way: N_BATCH tokens in a batch, then one by one; without a cache, beside a second sequence."""
    tokens, loaded = case.tokens, model.model
    run = loaded.forward if case.kind == "decoder" else loaded.hidden
    if not loaded.is_encoder and loaded.causal:
        return step_by_step(loaded, tokens, run)
    parts = [Rows(0, len(tokens), (), "all"), Rows(0, len(tokens) - 5, (), "none")]
    step = make_step(parts, None, loaded.causal)
    return loaded.ops.to_numpy(run(np.concatenate([tokens, tokens[:4:-1]]), step))


def compare(case: Case, model: Model, rows: np.ndarray) -> dict[str, float]:
    """NMSE of each stored output, given logits or hidden states."""
    if case.kind == "decoder":
        return {"logits": nmse(case.expected["logits"], rows)}
    if case.kind == "rank":
        stored = np.concatenate([case.expected["rank"], case.expected["rank_reversed"]])
        scores = [pool(model.model, rows), model.embed(case.tokens[::-1])]
        return {"rank": nmse(stored, np.concatenate(scores))}
    pooled = {f"pooled_{kind}": pool(model.model, rows, kind) for kind in ("mean", "cls", "last")}
    return {key: nmse(case.expected[key], value) for key, value in {"embeddings": rows, **pooled}.items()}


def step_by_step(loaded, tokens: np.ndarray, run) -> np.ndarray:
    """Every row's result: N_BATCH tokens at once, then one token a step, through one KV cache."""
    table = np.arange(-(-len(tokens) // BLOCK), dtype=np.int32)
    cache = loaded.ops.kv_cache(loaded.config.kv_shapes(), len(table), "f32", "f32")
    rows, start = [], 0
    for count in [N_BATCH] + [1] * (len(tokens) - N_BATCH):
        step = make_step([Rows(start, count, table, "all")], cache)
        rows.append(loaded.ops.to_numpy(run(tokens[start : start + count], step)))
        start += count
    return np.concatenate(rows)


def measure(case: Case, backend: str) -> dict:
    """One line of the results: the largest NMSE against llama.cpp of either way, and of one way against the other."""
    model = load(case, backend)
    at_once, in_steps = rows_at_once(case, model), rows_in_steps(case, model)
    batch = float(np.max(list(compare(case, model, at_once).values())))  # NaN when one of them is
    steps = float(np.max(list(compare(case, model, in_steps).values())))
    against_batch = nmse(at_once, in_steps)
    passed = batch <= case.bound and steps <= case.bound and against_batch <= case.self_bound
    return {"batch": batch, "steps": steps, "steps_against_batch": against_batch, "passed": passed}


def table(results: dict) -> str:
    """Markdown: a row a model; per backend the NMSE of the whole sequence at once and of single steps."""
    backends = results["backends"]
    head = ["model", "architecture", "bound"] + [f"{b}: {way}" for b in backends for way in ("batch", "steps")]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for name, row in results["models"].items():
        cells = [name, row["arch"], f"{row['bound']:.0e}"]
        for backend in backends:
            found = row[backend]
            cells += [f"{found['batch']:.1e}", f"{found['steps']:.1e}{'' if found['passed'] else ' (beyond)'}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_docs(results: dict) -> None:
    """Replace what stands between the markers of docs/conformance.md."""
    first, last = "<!-- logits -->", "<!-- /logits -->"
    count = len(results["models"])
    text = DOCS.read_text() if DOCS.exists() else "# Conformance\n"
    if first not in text or last not in text:
        text = f"{text}\n{first}\n{last}\n"
    before, _, rest = text.partition(first)
    after = rest.partition(last)[2]
    body = (
        f"## Logits and embeddings\n\nNMSE of {count} tiny models against {REFERENCE}. `batch`: the whole sequence at "
        f"once; `steps`: {N_BATCH} tokens, then one by one (encoders: beside a second sequence).\n"
        f"Made by `python conformance/logits.py`; see `conformance/archs/README.md`.\n\n{table(results)}"
    )
    DOCS.write_text(f"{before}{first}\n{body}\n{last}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", default=",".join(BACKENDS), help="default: all")
    parser.add_argument("--only", help="names of skeletons; then nothing is written")
    options = parser.parse_args()
    backends = options.backends.split(",")
    names = options.only.split(",") if options.only else case_names()
    results: dict = {"reference": REFERENCE, "backends": backends, "python": platform.python_version(), "models": {}}
    results |= {"numpy": np.__version__, "machine": platform.machine(), "llamabox": llamabox.__version__}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            case = open_case(name, Path(folder))
            row: dict = {"arch": case.arch, "bound": case.bound, "self_bound": case.self_bound}
            row |= {backend: measure(case, backend) for backend in backends}
            results["models"][name] = row
            print(name, *(f"{b} {row[b]['batch']:.1e} {row[b]['steps']:.1e}" for b in backends), flush=True)
    if not options.only:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_docs(results)
    failed = [name for name, row in results["models"].items() if not all(row[b]["passed"] for b in backends)]
    if failed:
        sys.exit(f"beyond the bound: {', '.join(failed)}")


if __name__ == "__main__":
    main()
