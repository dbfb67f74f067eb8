"""server/completion, last part: positions (RoPE, YaRN), the KV cache, how weights are held, control vectors."""

from llamabox.cli.options.completion import CONTEXT, DEVICES, MODEL, THREADS
from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import Choice, Integer, Number, path
from llamabox.cli.options.sampling import POSITIVE, SAMPLING
from llamabox.cli.options.scaled import files, scaled_files

KV_TYPES = Choice("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
HEADS_OF_32 = "quantised ones need heads of a multiple of 32 values; for V, --flash-attn is not needed"

ROPE = (
    Option(
        "rope_scaling",
        "--rope-scaling {none,linear,yarn}",
        (Choice("none", "linear", "yarn"),),
        help="RoPE frequency scaling method, defaults to linear unless specified by the model",
    ),
    Option(
        "rope_scale",
        "--rope-scale N",
        (POSITIVE,),
        help="RoPE context scaling factor, expands context by a factor of N",
    ),
    Option(
        "rope_freq_base",
        "--rope-freq-base N",
        (POSITIVE,),
        help="RoPE base frequency, used by NTK-aware scaling (default: loaded from model)",
    ),
    Option(
        "rope_freq_scale",
        "--rope-freq-scale N",
        (POSITIVE,),
        help="RoPE frequency scaling factor, expands context by a factor of 1/N",
    ),
    Option(
        "yarn_orig_ctx",
        "--yarn-orig-ctx N",
        (Integer(),),
        default=0,
        help="YaRN: original context size of model (default: 0 = model training context size)",
    ),
    Option(
        "yarn_ext_factor",
        "--yarn-ext-factor N",
        (Number(-1),),
        default=-1.0,
        help="YaRN: extrapolation mix factor (default: -1.0, 0.0 = full interpolation)",
        note="-1.0: 1.0 with yarn scaling, otherwise 0.0",
    ),
    Option(
        "yarn_attn_factor",
        "--yarn-attn-factor N",
        (POSITIVE,),
        default=1.0,
        help="YaRN: scale sqrt(t) or attention magnitude (default: 1.0)",
    ),
    Option(
        "yarn_beta_fast",
        "--yarn-beta-fast N",
        (POSITIVE,),
        default=32.0,
        help="YaRN: low correction dim or beta (default: 32.0)",
    ),
    Option(
        "yarn_beta_slow",
        "--yarn-beta-slow N",
        (POSITIVE,),
        default=1.0,
        help="YaRN: high correction dim or alpha (default: 1.0)",
    ),
)

CACHE = (
    Option(
        "kv_offload",
        "-nkvo, --no-kv-offload",
        const=False,
        default=True,
        help="disable KV offload",
    ),
    Option(
        "cache_prompt",
        "--no-cache-prompt",
        const=False,
        default=True,
        help="disable caching prompt",
        env="LLAMA_ARG_CACHE_PROMPT",
    ),
    Option(
        "cache_reuse",
        "--cache-reuse N",
        (Integer(),),
        default=0,
        help="min chunk size to attempt reusing from the cache via KV shifting (default: 0)",
        env="LLAMA_ARG_CACHE_REUSE",
    ),
    Option(
        "cache_type_k",
        "-ctk, --cache-type-k TYPE",
        (KV_TYPES,),
        default="f16",
        env="LLAMA_ARG_CACHE_TYPE_K",
        help="KV cache data type for K, allowed values: f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1 "
        "(default: f16)",
        note=HEADS_OF_32,
    ),
    Option(
        "cache_type_v",
        "-ctv, --cache-type-v TYPE",
        (KV_TYPES,),
        default="f16",
        env="LLAMA_ARG_CACHE_TYPE_V",
        help="KV cache data type for V, allowed values: f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1 "
        "(default: f16)",
        note=HEADS_OF_32,
    ),
    Option(
        "defrag_thold",
        "-dt, --defrag-thold N",
        (Number(),),
        default=0.1,
        help="KV cache defragmentation threshold (default: 0.1, < 0 - disabled)",
        env="LLAMA_ARG_DEFRAG_THOLD",
        note="no effect, a line in the log says so: KV memory is made of blocks, any of which serves any sequence, "
        "so there is nothing to defragment",
    ),
    Option(
        "parallel",
        "-np, --parallel N",
        (Integer(1, 1024),),
        default=1,
        help="number of parallel sequences to decode (default: 1)",
        env="LLAMA_ARG_N_PARALLEL",
    ),
    Option(
        "cont_batching",
        "-nocb, --no-cont-batching",
        const=False,
        default=True,
        help="disable continuous batching",
        env="LLAMA_ARG_CONT_BATCHING",
        note="one request runs at a time, the others wait",
    ),
)

WEIGHTS = (
    Option(
        "mmproj",
        "--mmproj FILE",
        (path,),
        help="path to a multimodal projector file for LLaVA",
        later="image input arrives in a later release",
    ),
    Option(
        "mlock",
        "--mlock",
        default=False,
        help="force system to keep model in RAM rather than swapping or compressing",
    ),
    Option(
        "mmap",
        "--no-mmap",
        const=False,
        default=True,
        help="do not memory-map model (slower load but may reduce pageouts if not using mlock)",
    ),
    Option(
        "mmap",
        "--mmap",
        default=True,
        help="apply memory-map model (faster load but may increase pageouts if not using mlock)",
    ),
    Option(
        "numa",
        "--numa TYPE",
        (Choice("distribute", "isolate", "numactl"),),
        help="attempt optimizations that help on some NUMA systems\n"
        "- distribute: spread execution evenly over all nodes\n"
        "- isolate: only spawn threads on CPUs on the node that execution started on\n"
        "- numactl: use the CPU map provided by numactl\n"
        "if run without this previously, it is recommended to drop the system page cache before using this, "
        "see https://git.luolix.top/ggerganov/llama.cpp/issues/1437",
    ),
)

ADAPTERS = (
    Option(
        "control_vectors",
        "--control-vector FILE",
        (files,),
        default=(),
        repeats=True,
        help="add a control vector",
        note="may be given again, or take FILE,FILE,...",
    ),
    Option(
        "control_vectors",
        "--control-vector-scaled FILE SCALE",
        (path, Number()),
        default=(),
        repeats=True,
        help="add a control vector with user defined scaling SCALE",
        joined=scaled_files,
        note="may be given again, or take FILE:SCALE,...",
    ),
    Option(
        "control_vector_layer_range",
        "--control-vector-layer-range START END",
        (Integer(), Integer()),
        help="layer range to apply the control vector(s) to, start and end inclusive",
    ),
    Option(
        "spm_infill",
        "--spm-infill",
        default=False,
        help="use Suffix/Prefix/Middle pattern for infill (instead of Prefix/Suffix/Middle) as some models prefer this "
        "(default: disabled)",
    ),
    Option("special", "-sp, --special", default=False, help="special tokens output enabled (default: false)"),
)

COMPLETION = Group(
    "server/completion", DEVICES + MODEL + THREADS + CONTEXT + SAMPLING + ROPE + CACHE + WEIGHTS + ADAPTERS
)
