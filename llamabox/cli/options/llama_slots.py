"""llama-server's flags about slots and KV memory that llama-box does not have."""

from llamabox.cli.options.option import Option
from llamabox.cli.options.parsers import Integer

LLAMA_SLOTS = (
    Option(
        "kv_unified",
        "-kvu, --kv-unified",
        default=False,
        help="any request may use the whole context (-c), not only its share of it (-c / -np); when memory is full, "
        "the youngest request waits and is computed anew (default: disabled)",
        env="LLAMA_ARG_KV_UNIFIED",
        opposites=("-no-kvu", "--no-kv-unified"),
    ),
    Option(
        "kv_unified_per_slot",
        "--kv-unified-per-slot N",
        (Integer(),),
        default=0,
        help="with --kv-unified: most tokens of one request (default: 0, the whole context);\n"
        "without -c, the context is N for each of -np requests",
        env="LLAMA_ARG_KV_UNIFIED_PER_SLOT",
    ),
)
