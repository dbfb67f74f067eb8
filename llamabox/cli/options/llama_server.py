"""llama-server: its options that llama-box does not have, besides those about chat."""

import re

from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import FALSE_WORDS, TRUE_WORDS, Choice, Integer, Text, path, words

SAYS_SO = "accepted; a line at the start says what it means here"
INSTALL = "pip install 'llamabox[hub]'"
LOAD_MODES = {  # -> memory-map, lock
    "auto": (True, False),
    "mmap": (True, False),
    "none": (False, False),
    "mlock": (False, True),
    "mmap+mlock": (True, True),
}


def load_mode(text: str) -> tuple[bool, bool]:
    """A way to hold the weights -> (memory-map, lock)."""
    if text not in LOAD_MODES:
        raise ValueError(f"one of {', '.join(LOAD_MODES)}")
    return LOAD_MODES[text]


def hf_repo(text: str) -> str:
    """owner/repo or owner/repo:quant."""
    word = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
    if not re.fullmatch(rf"{word}/{word}(:{word})?", text) or ".." in text or len(text) > 200:
        raise ValueError("owner/repo or owner/repo:quant")
    return text


def hf_file(text: str) -> str:
    """A GGUF file inside a repository."""
    if not text.endswith(".gguf") or "\\" in text or any(part in ("", ".", "..") for part in text.split("/")):
        raise ValueError("the path of a .gguf file inside the repository")
    return text


def on_off(text: str) -> bool:
    """on or off."""
    if text.lower() not in TRUE_WORDS + FALSE_WORDS:
        raise ValueError("on or off")
    return text.lower() in TRUE_WORDS


def mebibytes(text: str) -> tuple[int, ...]:
    """Comma-separated sizes."""
    try:
        return tuple(Integer()(size.strip()) for size in text.split(","))
    except ValueError:
        raise ValueError("comma-separated whole numbers of MiB") from None


def tensor_overrides(text: str) -> tuple[tuple[str, str], ...]:
    """PATTERN=DEVICE,...: names of tensors and where these live."""
    pairs = []
    for part in text.split(","):
        pattern, _, device = part.rpartition("=")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"regular expressions before each = ({error})") from None
        if not pattern or not device:
            raise ValueError("PATTERN=DEVICE, comma-separated")
        pairs.append((pattern, device))
    return tuple(pairs)


def url_prefix(text: str) -> str:
    """The beginning of paths, such as /llm."""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text) or len(text) > 200:
        raise ValueError("a path that begins with / and does not end with one, such as /llm")
    return text


ACTIONS = (
    Option(
        "action",
        "-cl, --cache-list",
        action="cache_list",
        default="",
        help="print the models that -hf has in its cache, and exit",
    ),
    Option(
        "action",
        "--completion-bash",
        action="completion_bash",
        default="",
        help="print a script with which bash completes these options, and exit",
    ),
)

HUB = (
    Option(
        "hf_repo",
        "-hf, -hfr, --hf-repo OWNER/REPO[:QUANT]",
        (hf_repo,),
        help="Hugging Face model repository; without QUANT its Q4_K_M, else its Q8_0, else its first GGUF file",
        env="LLAMA_ARG_HF_REPO",
        note=f"instead of -m; needs {INSTALL}; downloads go to huggingface_hub's cache, and survive broken connections",
    ),
    Option(
        "hf_file",
        "-hff, --hf-file FILE",
        (hf_file,),
        help="Hugging Face model file, whatever QUANT says",
        env="LLAMA_ARG_HF_FILE",
    ),
    Option(
        "hf_token",
        "-hft, --hf-token TOKEN",
        (Text("a token"),),
        help="Hugging Face access token (default: value from HF_TOKEN environment variable)",
        env="HF_TOKEN",
    ),
    Option(
        "offline",
        "--offline",
        default=False,
        help="offline mode: forces use of cache, prevents network access",
        env="LLAMA_ARG_OFFLINE",
    ),
)

GENERATION = (
    Option(
        "ignore_eos",
        "--ignore-eos",
        default=False,
        help="ignore end of stream token and continue generating",
        note="for requests that do not say",
    ),
    Option(
        "reverse_prompt",
        "-r, --reverse-prompt PROMPT",
        (Text("a text"),),
        default=(),
        repeats=True,
        help="halt generation at PROMPT",
        note="for requests without stop; may be given again",
    ),
    Option(
        "json_schema_file",
        "-jf, --json-schema-file FILE",
        (path,),
        help="file containing a JSON schema to constrain generations",
    ),
)

WEIGHTS = (
    Option(
        "load_mode",
        "-lm, --load-mode MODE",
        (load_mode,),
        help="model loading mode: auto or mmap (memory-map), none (read at once), mlock, mmap+mlock",
        env="LLAMA_ARG_LOAD_MODE",
        note="wins over --mmap, --no-mmap and --mlock",
    ),
    Option(
        "lazy_mode",
        "-lzm, --lazy-mode MODE",
        (Choice("on", "auto"),),
        help="on-demand reading of certain tensors",
        env="LLAMA_ARG_LAZY_MODE",
        note=f"{SAYS_SO}; for off there is --mlock",
    ),
    Option(
        "check_tensors",
        "--check-tensors",
        default=False,
        help="check model tensor data for invalid values (default: false)",
    ),
    Option(
        "repack",
        "--repack",
        default=None,
        help="weight repacking",
        env="LLAMA_ARG_REPACK",
        note=SAYS_SO,
        opposites=("-nr", "--no-repack"),
    ),
    Option("no_host", "--no-host", default=False, help="bypass host buffer", env="LLAMA_ARG_NO_HOST", note=SAYS_SO),
    Option(
        "override_tensor",
        "-ot, --override-tensor PATTERN=BUFFER,...",
        (tensor_overrides,),
        default=(),
        repeats=True,
        help="override tensor buffer type",
        env="LLAMA_ARG_OVERRIDE_TENSOR",
        note="PATTERN is a regular expression, BUFFER a device's name or CPU",
    ),
    Option(
        "cpu_moe",
        "-cmoe, --cpu-moe",
        default=False,
        help="keep all Mixture of Experts (MoE) weights in the CPU",
        env="LLAMA_ARG_CPU_MOE",
    ),
    Option(
        "n_cpu_moe",
        "-ncmoe, --n-cpu-moe N",
        (Integer(),),
        help="keep the Mixture of Experts (MoE) weights of the first N layers in the CPU",
        env="LLAMA_ARG_N_CPU_MOE",
    ),
    Option(
        "n_cpu_ffn",
        "-ncffn, --n-cpu-ffn N",
        (Integer(),),
        help="keep the dense FFN weights of the first N layers in the CPU",
        env="LLAMA_ARG_N_CPU_FFN",
    ),
    Option(
        "op_offload",
        "--op-offload",
        default=None,
        help="offload host tensor operations to device",
        note=SAYS_SO,
        opposites=("--no-op-offload",),
    ),
    Option(
        "fit",
        "-fit, --fit <on|off>",
        (on_off,),
        help="adjust unset arguments to fit in device memory",
        env="LLAMA_ARG_FIT",
        note="the number of layers on GPUs, where -ngl was not given (default: on)",
    ),
    Option(
        "fit_target",
        "-fitt, --fit-target MiB0,MiB1,...",
        (mebibytes,),
        help="target margin per device for --fit",
        env="LLAMA_ARG_FIT_TARGET",
    ),
    Option(
        "fit_ctx",
        "-fitc, --fit-ctx N",
        (Integer(),),
        help="minimum ctx size that can be set by --fit option",
        env="LLAMA_ARG_FIT_CTX",
        note=SAYS_SO,
    ),
    Option(
        "swa_full",
        "--swa-full",
        default=False,
        help="use full-size SWA cache",
        env="LLAMA_ARG_SWA_FULL",
        note=SAYS_SO,
    ),
    Option(
        "perf",
        "--perf",
        default=None,
        help="internal performance timings",
        env="LLAMA_ARG_PERF",
        note=SAYS_SO,
        opposites=("--no-perf",),
    ),
)

LOGS = (
    Option("log_disable", "--log-disable", default=False, help="log nothing"),
    Option("log_file", "--log-file FNAME", (path,), help="log to a file", env="LLAMA_ARG_LOG_FILE"),
    Option(
        "log_jsonl",
        "--log-jsonl",
        default=False,
        help="log one JSON object a line, on standard output",
        env="LLAMA_ARG_LOG_JSONL",
        opposites=("--no-log-jsonl",),
    ),
    Option(
        "log_prefix",
        "--log-prefix",
        default=True,
        help="level and place before each message (default: enabled)",
        env="LLAMA_ARG_LOG_PREFIX",
        opposites=("--no-log-prefix",),
    ),
    Option(
        "log_timestamps",
        "--log-timestamps",
        default=True,
        help="time before each message (default: enabled)",
        env="LLAMA_ARG_LOG_TIMESTAMPS",
        opposites=("--no-log-timestamps",),
    ),
)

HTTP = (
    Option(
        "tags",
        "--tags STRING",
        (words,),
        default=(),
        help="set model tags, comma-separated (informational)",
        env="LLAMA_ARG_TAGS",
    ),
    Option(
        "reuse_port",
        "--reuse-port",
        default=False,
        help="allow multiple sockets to bind to the same port (default: disabled)",
        env="LLAMA_ARG_REUSE_PORT",
    ),
    Option(
        "api_prefix",
        "--api-prefix PREFIX",
        (url_prefix,),
        default="",
        help="prefix path the server serves from, without the trailing slash (default: none)",
        env="LLAMA_ARG_API_PREFIX",
    ),
    Option(
        "sleep_idle_seconds",
        "--sleep-idle-seconds SECONDS",
        (Integer(-1),),
        default=-1,
        help="seconds of idleness after which the server sleeps (default: -1, -1 = disabled)",
        refused="a model stays loaded as long as the server runs",
    ),
)

LLAMA_SERVER = Group("llama-server", ACTIONS + HUB + GENERATION + WEIGHTS + LOGS + HTTP)
