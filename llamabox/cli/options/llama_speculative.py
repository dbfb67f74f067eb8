"""Options of llama-server's speculation that llama-box does not have; and those that we do not have either."""

from llamabox.cli.options.memory import KV_TYPES
from llamabox.cli.options.option import Option

HERE = ("none", "draft-simple", "ngram-cache")
ELSEWHERE = (
    *("draft-eagle3", "draft-mtp", "draft-dflash", "draft-dspark"),
    *("ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod"),
)


def speculation_types(text: str) -> tuple[str, ...]:
    """Kinds of speculation, separated by commas."""
    types = tuple(text.split(","))
    if any(name in ELSEWHERE for name in types):
        raise ValueError(f"kinds that llamabox has: {', '.join(HERE)}")
    if any(name not in HERE for name in types) or len(set(types)) < len(types) or ("none" in types and len(types) > 1):
        raise ValueError("none, or draft-simple, ngram-cache or both, separated by commas")
    return types


LLAMA_SPECULATIVE = (
    Option(
        "spec_type",
        "--spec-type TYPES",
        (speculation_types,),
        help="kinds of speculative decoding, separated by commas: draft-simple (needs -md), ngram-cache (lookup, of "
        "--lookup-ngram-min or 1 token and more), or none (default: those that other options ask for)",
        env="LLAMA_ARG_SPEC_TYPE",
    ),
    Option(
        "cache_type_k_draft",
        "-ctkd, --cache-type-k-draft TYPE",
        (KV_TYPES,),
        default="f16",
        help="KV cache data type for K of the draft model (default: f16)",
        env="LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_K",
        aliases=("--spec-draft-type-k",),
    ),
    Option(
        "cache_type_v_draft",
        "-ctvd, --cache-type-v-draft TYPE",
        (KV_TYPES,),
        default="f16",
        help="KV cache data type for V of the draft model (default: f16)",
        env="LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_V",
        aliases=("--spec-draft-type-v",),
    ),
)

_THREADS = "the draft model runs on the threads of the model"
_BUFFERS = "weights are not placed in buffers of several devices"
_TREE = "a draft is one sequence of tokens, it has no branches"
_SYNTHETIC = "every guess is verified, none is accepted by chance"
_SAMPLING = "guesses are chosen on the host"
_TABLES = "of the kinds of n-gram lookup, llamabox has ngram-cache (--lookup-ngram-min)"
_DOWNLOAD = "download the draft model first, and give its file to -md"

REFUSED_SPECULATIVE = {  # as in refused.py
    "--spec-draft-threads -td --threads-draft": _THREADS,
    "--spec-draft-threads-batch -tbd --threads-batch-draft": _THREADS,
    "--spec-draft-cpu-mask -Cd --cpu-mask-draft": _THREADS,
    "--spec-draft-cpu-range -Crd --cpu-range-draft": _THREADS,
    "--spec-draft-cpu-strict --cpu-strict-draft": _THREADS,
    "--spec-draft-prio --prio-draft": _THREADS,
    "--spec-draft-poll --poll-draft": _THREADS,
    "--spec-draft-cpu-mask-batch -Cbd --cpu-mask-batch-draft": _THREADS,
    "--spec-draft-cpu-strict-batch --cpu-strict-batch-draft": _THREADS,
    "--spec-draft-prio-batch --prio-batch-draft": _THREADS,
    "--spec-draft-poll-batch --poll-batch-draft": _THREADS,
    "--spec-draft-override-tensor -otd --override-tensor-draft": _BUFFERS,
    "--spec-draft-cpu-moe -cmoed --cpu-moe-draft LLAMA_ARG_SPEC_DRAFT_CPU_MOE": _BUFFERS,
    "--spec-draft-n-cpu-moe --spec-draft-ncmoe -ncmoed --n-cpu-moe-draft LLAMA_ARG_SPEC_DRAFT_N_CPU_MOE": _BUFFERS,
    "--spec-draft-p-split --draft-p-split LLAMA_ARG_SPEC_DRAFT_P_SPLIT": _TREE,
    "--spec-synth-len LLAMA_ARG_SPEC_SYNTH_LEN": _SYNTHETIC,
    "--spec-synth-rates LLAMA_ARG_SPEC_SYNTH_RATES": _SYNTHETIC,
    "--spec-draft-backend-sampling !--no-spec-draft-backend-sampling LLAMA_ARG_SPEC_DRAFT_BACKEND_SAMPLING": _SAMPLING,
    "--spec-default": _TABLES,
    "--spec-draft-hf -hfd -hfrd --hf-repo-draft LLAMA_ARG_SPEC_DRAFT_HF_REPO": _DOWNLOAD,
    **dict.fromkeys(
        "--spec-ngram-mod-n-min --spec-ngram-mod-n-max --spec-ngram-mod-n-match --spec-ngram-simple-size-n "
        "--spec-ngram-simple-size-m --spec-ngram-simple-min-hits --spec-ngram-map-k-size-n --spec-ngram-map-k-size-m "
        "--spec-ngram-map-k-min-hits --spec-ngram-map-k4v-size-n --spec-ngram-map-k4v-size-m "
        "--spec-ngram-map-k4v-min-hits --spec-ngram-size-n --spec-ngram-size-m --spec-ngram-min-hits".split(),
        _TABLES,
    ),
}
