"""The options of `llamabox bench`, as llama-bench has them, and the tests they ask for: all their combinations."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llamabox.assets import tiny_chat_path
from llamabox.cli.arguments import Arguments
from llamabox.cli.options import OptionError
from llamabox.cli.options.llama_server import LOAD_MODES

FORMATS = ("csv", "json", "jsonl", "md", "sql")
LARGEST = 1 << 24  # tokens, rows or threads: more is a slip of the keyboard
MOST_TESTS = 10_000
RANGE = re.compile(r"(-?\d{1,9})(?:-(\d{1,9})(?:([+*])(\d{1,9}))?)?")


@dataclass(frozen=True)
class Parameter:
    """An option that may have several values, each of which makes tests of its own.

    name     the field of llama-bench's JSON output
    words    a value -> words of the command line of `llamabox serve` that ask for the same; () where none is needed
    """

    name: str
    flags: tuple[str, ...]
    default: Any
    metavar: str
    parse: Callable[[str], list]
    help: str
    words: Callable[[Any], tuple[str, ...]] = lambda value: ()


@dataclass(frozen=True)
class Test:
    """One test: `values` by the names of parameters, and how many tokens it reads and writes."""

    values: dict[str, Any]
    n_prompt: int
    n_gen: int

    @property
    def n_tokens(self) -> int:
        """Tokens that the KV memory holds in the end."""
        return self.values["n_depth"] + self.n_prompt + self.n_gen

    @property
    def words(self) -> list[str]:
        """What the test's parameters are called in the option table that all commands share."""
        return [word for p in PARAMETERS if p.name in self.values for word in p.words(self.values[p.name])]


@dataclass(frozen=True)
class Settings:
    """Everything that a run of the command does."""

    action: str = ""
    tests: list[Test] = field(default_factory=list)
    repetitions: int = 5
    delay: int = 0
    output: str = "md"
    output_err: str | None = None
    verbose: bool = False
    progress: bool = False
    warmup: bool = True
    numa: str | None = None
    prio: int = 0
    chosen: frozenset[str] = frozenset()  # parameters that differ from their default, which md output then shows


def numbers(low: int) -> Callable[[str], list]:
    """A parser of whole numbers of at least `low`: 1,2 or 128-512, 128-512+128, 128-512*2."""

    def parse(text: str) -> list[int]:
        found: list[int] = []
        for part in text.split(","):
            match = RANGE.fullmatch(part)
            if match is None:
                raise ValueError("whole numbers, as 1,2 or 128-512+128 or 128-512*2")
            first, last = int(match[1]), int(match[2]) if match[2] is not None else int(match[1])
            kind, step = match[3] or "+", int(match[4]) if match[4] is not None else 1
            if first < low or last > LARGEST:
                raise ValueError(f"whole numbers from {low} to {LARGEST}")
            if match[2] is not None and (step < 1 or (kind == "*" and (step < 2 or first < 1))):
                raise ValueError("a range whose step leads upwards")
            while first <= last and len(found) <= MOST_TESTS:
                found.append(first)
                first = first * step if kind == "*" else first + step
        return found

    return parse


def choices(*allowed: str) -> Callable[[str], list]:
    """A parser of comma-separated words."""

    def parse(text: str) -> list[str]:
        if any(word not in allowed for word in text.split(",")):
            raise ValueError(f"{', '.join(allowed)}, separated by commas")
        return text.split(",")

    return parse


def names(text: str) -> list[str]:
    """Anything between commas."""
    if "" in text.split(","):
        raise ValueError("values separated by commas")
    return text.split(",")


def switch(text: str) -> list[bool]:
    """0 and 1."""
    return [word == "1" for word in choices("0", "1")(text)]


def flash(text: str) -> list[int]:
    """on, off and auto, as llama-bench's numbers 1, 0 and -1."""
    words = choices("on", "off", "auto", "1", "0", "-1")(text)
    return [{"on": 1, "1": 1, "off": 0, "0": 0}.get(word, -1) for word in words]


def pair(text: str) -> list[tuple[int, int]]:
    """A prompt and an answer: 512,128."""
    both = numbers(0)(text) if re.fullmatch(r"\d{1,9},\d{1,9}", text) else []
    if len(both) != 2:
        raise ValueError("two whole numbers, as 512,128")
    return [(both[0], both[1])]


def flag(name: str, none: Any = None) -> Callable[[Any], tuple[str, ...]]:
    """The words of a value: the flag and the value, or nothing for the value that changes nothing."""
    return lambda value: () if value == none else (name, str(value))


# In the order of llama-bench's loops: a model is loaded again as seldom as possible.
PARAMETERS = (
    Parameter("model_filename", ("-m", "--model"), None, "FILE", names, "the model (default: the one that ships here)"),
    Parameter("hf_repo", ("-hf", "-hfr", "--hf-repo"), None, "OWNER/REPO[:QUANT]", names, "a model from Hugging Face"),
    Parameter("backend", ("--backend",), "", "NAME", names, "what computes: cpu, numpy, cupy, torch (default: cpu)",
              flag("--backend", "")),
    Parameter("n_gpu_layers", ("-ngl", "--n-gpu-layers"), -1, "N", numbers(-1), "layers on GPUs (default: -1, all)",
              flag("-ngl", -1)),
    Parameter("n_cpu_moe", ("-ncmoe", "--n-cpu-moe"), 0, "N", numbers(0), "layers whose experts stay on the CPU",
              flag("-ncmoe", 0)),
    Parameter("split_mode", ("-sm", "--split-mode"), "layer", "MODE", choices("none", "layer", "row"),
              "how GPUs share the model: none, layer or row (default: layer)", flag("-sm", "layer")),
    Parameter("load_mode", ("-lm", "--load-mode"), "auto", "MODE", choices(*LOAD_MODES),
              "how weights are held: auto, none, mmap, ... (default: auto)", flag("-lm", "auto")),
    Parameter("main_gpu", ("-mg", "--main-gpu"), 0, "I", numbers(0), "the main GPU (default: 0)", flag("-mg", 0)),
    Parameter("devices", ("-dev", "--device"), "auto", "DEV0/DEV1/...", names, "the devices to use (default: auto)",
              lambda v: () if v == "auto" else ("-dev", v.replace("/", ","))),
    Parameter("tensor_split", ("-ts", "--tensor-split"), "0", "TS0/TS1/...", names, "each device's share (default: 0)",
              lambda v: () if v == "0" else ("-ts", v.replace("/", ","))),
    Parameter("tensor_buft_overrides", ("-ot", "--override-tensor"), "none", "PATTERN=BUFFER;...", names,
              "tensors placed by name (default: none)", lambda v: () if v == "none" else ("-ot", v.replace(";", ","))),
    Parameter("embeddings", ("-embd", "--embeddings"), False, "0|1", switch, "hidden states instead of logits"),
    Parameter("n_batch", ("-b", "--batch-size"), 2048, "N", numbers(1), "most rows of a batch (default: 2048)"),
    Parameter("n_ubatch", ("-ub", "--ubatch-size"), 512, "N", numbers(1), "most rows computed at once (default: 512)"),
    Parameter("type_k", ("-ctk", "--cache-type-k"), "f16", "TYPE", names, "type of cached keys (default: f16)",
              flag("-ctk")),
    Parameter("type_v", ("-ctv", "--cache-type-v"), "f16", "TYPE", names, "type of cached values (default: f16)",
              flag("-ctv")),
    Parameter("no_kv_offload", ("-nkvo", "--no-kv-offload"), False, "0|1", switch, "KV memory on the host",
              lambda v: ("-nkvo",) if v else ()),
    Parameter("flash_attn", ("-fa", "--flash-attn"), -1, "on|off|auto", flash,
              "no effect: attention always runs block by block (default: auto)"),
    Parameter("n_threads", ("-t", "--threads"), -1, "N", numbers(-1), "threads (default: one a core)", flag("-t", -1)),
    Parameter("cpu_mask", ("-C", "--cpu-mask"), "0x0", "HEX", names, "the CPUs to run on (default: all)",
              lambda v: () if v in ("0x0", "0") else ("-C", v)),
    Parameter("cpu_strict", ("--cpu-strict",), False, "0|1", switch, "one CPU a thread (default: 0)",
              lambda v: ("--cpu-strict", "1") if v else ()),
    Parameter("n_depth", ("-d", "--n-depth"), 0, "N", numbers(0), "tokens in the cache before a test (default: 0)"),
    Parameter("poll", ("--poll",), 50, "0...100", numbers(0), "how eagerly threads wait (default: 50)",
              flag("--poll", 50)),
)  # fmt: skip


def parse_bench(argv: Sequence[str]) -> Settings:
    """The words of the command line -> what to do. Errors: OptionError"""
    given = _parser().parse_args(argv)
    if given.action:
        return Settings(action=given.action)
    values = {p.name: _values(p, getattr(given, p.name)) for p in PARAMETERS}
    if given.hf_repo is None:
        values["hf_repo"] = [None]
        values["model_filename"] = values["model_filename"] if given.model_filename else [str(tiny_chat_path())]
    elif given.model_filename is None:
        values["model_filename"] = [None]
    else:
        raise OptionError("-m and -hf: found both, expected one")
    plain = _counts(given)
    kinds = [(n, 0) for n in plain["n_prompt"]] + [(0, n) for n in plain["n_gen"]] + plain["pg"]
    kinds = [kind for kind in kinds if kind != (0, 0)]
    size = len(kinds)
    for found in values.values():
        size *= len(found)
    if not 0 < size <= MOST_TESTS:
        raise OptionError(f"the options ask for {size} tests, expected 1 to {MOST_TESTS}")
    combinations = itertools.product(*values.values())
    tests = [Test(dict(zip(values, chosen, strict=True)), *kind) for chosen in combinations for kind in kinds]
    chosen = {p.name for p in PARAMETERS if values[p.name] not in ([p.default], [None])}
    return Settings(
        "", tests, _one(given, "repetitions", numbers(1), 5), _one(given, "delay", numbers(0), 0), given.output,
        given.output_err, given.verbose, given.progress, not given.no_warmup, given.numa,
        _one(given, "prio", numbers(-1), 0), frozenset(chosen),
    )  # fmt: skip


def _counts(given: Any) -> dict[str, list]:
    """Of -p, -n and -pg: what was given; without any, llama-bench's 512 and 128."""
    found = {name: _parsed(f"-{name[2]}", numbers(0), getattr(given, name)) for name in ("n_prompt", "n_gen")}
    found["pg"] = _parsed("-pg", pair, given.pg)
    defaults = {"n_prompt": [512], "n_gen": [128]}
    return {
        name: values if getattr(given, name) is not None else defaults.get(name, []) for name, values in found.items()
    }


def _values(parameter: Parameter, texts: list[str] | None) -> list:
    return [parameter.default] if texts is None else _parsed(parameter.flags[0], parameter.parse, texts)


def _parsed(name: str, parse: Callable[[str], list], texts: list[str] | None) -> list:
    found = []
    for text in texts or ():
        try:
            found += parse(text)
        except ValueError as error:
            raise OptionError(f"{name}: found {text[:80]!r}, expected {error}") from None
    return found


def _one(given: Any, name: str, parse: Callable[[str], list], default: int) -> int:
    text = getattr(given, name)
    values = [default] if text is None else _parsed(f"--{name}", parse, [text])
    if len(values) != 1:
        raise OptionError(f"--{name}: found {text[:80]!r}, expected one number")
    return values[0]


def _parser() -> Arguments:
    parser = Arguments(
        "llamabox bench",
        description="Tokens a second of prompts and of generation, as llama-bench measures them.",
        epilog="Every test parameter may have several values, separated by commas or given again, and whole numbers "
        "ranges: 128-512, 128-512+128, 128-512*2. Each combination is a test.",
        allow_abbrev=False,
    )
    parser.set_defaults(action="")
    parser.add_argument(
        "--version", dest="action", action="store_const", const="version", help="print version and exit"
    )
    parser.add_argument(
        "--list-devices",
        dest="action",
        action="store_const",
        const="list_devices",
        help="print the devices that are present and exit",
    )
    parser.add_argument("-r", "--repetitions", metavar="N", help="times to repeat each test (default: 5)")
    parser.add_argument("-o", "--output", choices=FORMATS, default="md", help="output format (default: md)")
    parser.add_argument("-oe", "--output-err", choices=FORMATS, help="the same on standard error (default: none)")
    parser.add_argument("--numa", choices=("distribute", "isolate", "numactl"), help="as of llamabox serve")
    parser.add_argument("--prio", metavar="-1|0|1|2|3", help="priority of the threads (default: 0)")
    parser.add_argument("--delay", metavar="SECONDS", help="pause before each test (default: 0)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens")
    parser.add_argument("--progress", action="store_true", help="say on standard error what is running")
    parser.add_argument("--no-warmup", action="store_true", help="measure the first run too")
    tests = parser.add_argument_group("test parameters")
    for flags, dest, metavar, help in (
        (("-p", "--n-prompt"), "n_prompt", "N", "tokens of a prompt (default: 512)"),
        (("-n", "--n-gen"), "n_gen", "N", "tokens to generate (default: 128)"),
        (("-pg",), "pg", "PP,TG", "a prompt and an answer in one test"),
    ):
        tests.add_argument(*flags, dest=dest, metavar=metavar, action="append", help=help)
    for p in PARAMETERS:
        tests.add_argument(*p.flags, dest=p.name, metavar=p.metavar, action="append", help=p.help)
    return parser
