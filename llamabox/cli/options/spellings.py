"""llama-server's other spellings of options in the table: further flags, flags with the opposite meaning, variables."""

from collections.abc import Iterable
from dataclasses import replace

from llamabox.cli.options.option import Group, Option

# a flag of the table -> what else stands for it; after "!" flags that mean the opposite of that switch
SPELLINGS = {
    "--log-verbosity": "LLAMA_ARG_LOG_VERBOSITY",
    "--log-colors": "LLAMA_ARG_LOG_COLORS",
    "--timeout": "LLAMA_ARG_TIMEOUT",
    "--alias": "LLAMA_ARG_ALIAS",
    "--main-gpu": "LLAMA_ARG_MAIN_GPU",
    "--metrics": "LLAMA_ARG_ENDPOINT_METRICS",
    "--rerank": "LLAMA_ARG_RERANKING",
    "--slots": "LLAMA_ARG_ENDPOINT_SLOTS !--no-slots",
    "--rpc": "LLAMA_ARG_RPC",
    "--no-warmup": "!--warmup",
    "--split-mode": "LLAMA_ARG_SPLIT_MODE",
    "--tensor-split": "LLAMA_ARG_TENSOR_SPLIT",
    "--chat-template-file": "LLAMA_ARG_CHAT_TEMPLATE_FILE",
    "--no-context-shift": "LLAMA_ARG_CONTEXT_SHIFT !--context-shift",
    "--predict": "--n-predict",
    "--sampling-seq": "--sampler-seq",
    "--temp": "--temperature LLAMA_ARG_TEMPERATURE",
    "--top-k": "LLAMA_ARG_TOP_K",
    "--top-p": "LLAMA_ARG_TOP_P",
    "--min-p": "LLAMA_ARG_MIN_P",
    "--typical": "--typical-p",
    "--repeat-penalty": "LLAMA_ARG_REPEAT_PENALTY",
    "--presence-penalty": "LLAMA_ARG_PRESENCE_PENALTY",
    "--frequency-penalty": "LLAMA_ARG_FREQUENCY_PENALTY",
    "--rope-scaling": "LLAMA_ARG_ROPE_SCALING_TYPE",
    "--rope-scale": "LLAMA_ARG_ROPE_SCALE",
    "--rope-freq-base": "LLAMA_ARG_ROPE_FREQ_BASE",
    "--rope-freq-scale": "LLAMA_ARG_ROPE_FREQ_SCALE",
    "--yarn-orig-ctx": "LLAMA_ARG_YARN_ORIG_CTX",
    "--yarn-ext-factor": "LLAMA_ARG_YARN_EXT_FACTOR",
    "--yarn-attn-factor": "LLAMA_ARG_YARN_ATTN_FACTOR",
    "--yarn-beta-fast": "LLAMA_ARG_YARN_BETA_FAST",
    "--yarn-beta-slow": "LLAMA_ARG_YARN_BETA_SLOW",
    "--no-kv-offload": "LLAMA_ARG_KV_OFFLOAD !-kvo !--kv-offload",
    "--no-cache-prompt": "!--cache-prompt",
    "--cache-type-k": "LLAMA_ARG_CACHE_TYPE_K",
    "--cache-type-v": "LLAMA_ARG_CACHE_TYPE_V",
    "--no-cont-batching": "!-cb !--cont-batching",
    "--mmproj": "-mm LLAMA_ARG_MMPROJ",
    "--numa": "LLAMA_ARG_NUMA",
    "--pooling": "LLAMA_ARG_POOLING",
}


def with_spellings(groups: Iterable[Group]) -> tuple[Group, ...]:
    """The groups with what SPELLINGS adds to their options."""
    return tuple(replace(group, options=tuple(map(_respelled, group.options))) for group in groups)


def _respelled(option: Option) -> Option:
    words = " ".join(SPELLINGS.get(flag, "") for flag in option.flags).split()
    flags = tuple(word for word in words if word.startswith("-") and word not in option.flags)
    variables = tuple(word for word in words if word[0].isupper() and word not in option.variables)
    opposites = tuple(word[1:] for word in words if word.startswith("!"))
    return replace(
        option,
        aliases=option.aliases + flags,
        opposites=option.opposites + opposites,
        env_aliases=option.env_aliases + variables,
    )
