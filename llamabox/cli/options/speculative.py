"""server/completion/speculative: draft models and n-gram lookup."""

from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import Choice, Integer, Number, path, words

POOLINGS = ("none", "mean", "cls", "last", "rank")

SPECULATIVE = Group(
    "server/completion/speculative",
    (
        Option(
            "draft_max",
            "--draft-max, --draft, --draft-n N",
            (Integer(),),
            default=16,
            help="number of tokens to draft for speculative decoding (default: 16)",
            env="LLAMA_ARG_DRAFT_MAX",
            aliases=("--spec-draft-n-max",),
            env_aliases=("LLAMA_ARG_SPEC_DRAFT_N_MAX",),
        ),
        Option(
            "draft_min",
            "--draft-min, --draft-n-min N",
            (Integer(),),
            default=5,
            help="minimum number of draft tokens to use for speculative decoding (default: 5)",
            env="LLAMA_ARG_DRAFT_MIN",
            aliases=("--spec-draft-n-min",),
            env_aliases=("LLAMA_ARG_SPEC_DRAFT_N_MIN",),
        ),
        Option(
            "draft_p_min",
            "--draft-p-min P",
            (Number(0, 1),),
            default=0.9,
            help="minimum speculative decoding probability (greedy) (default: 0.9)",
            env="LLAMA_ARG_DRAFT_P_MIN",
            aliases=("--spec-draft-p-min",),
            env_aliases=("LLAMA_ARG_SPEC_DRAFT_P_MIN",),
        ),
        Option(
            "model_draft",
            "-md, --model-draft FNAME",
            (path,),
            help="draft model for speculative decoding (default: unused)",
            env="LLAMA_ARG_MODEL_DRAFT",
            aliases=("--spec-draft-model",),
            env_aliases=("LLAMA_ARG_SPEC_DRAFT_MODEL",),
        ),
        Option(
            "device_draft",
            "-devd, --device-draft <dev1,dev2,...>",
            (words,),
            help="comma-separated list of devices to use for offloading the draft model (none = don't offload)\n"
            "use --list-devices to see a list of available devices",
            env="LLAMA_ARG_DEVICE_DRAFT",
            aliases=("--spec-draft-device",),
        ),
        Option(
            "gpu_layers_draft",
            "-ngld, --gpu-layers-draft, --n-gpu-layers-draft N",
            (Integer(-1),),
            help="number of layers to store in VRAM for the draft model",
            env="LLAMA_ARG_N_GPU_LAYERS_DRAFT",
            aliases=("--spec-draft-ngl",),
        ),
        Option(
            "lookup_ngram_min",
            "--lookup-ngram-min N",
            (Integer(0, 4),),
            default=0,
            help="minimum n-gram size for lookup cache (default: 0, 0 = disabled)",
            env="LLAMA_ARG_LOOKUP_NGRAM_MIN",
        ),
        Option(
            "lookup_cache_static",
            "-lcs, --lookup-cache-static FILE",
            (path,),
            help="path to static lookup cache to use for lookup decoding (not updated by generation)",
            env="LLAMA_ARG_LOOKUP_CACHE_STATIC",
        ),
        Option(
            "lookup_cache_dynamic",
            "-lcd, --lookup-cache-dynamic FILE",
            (path,),
            help="path to dynamic lookup cache to use for lookup decoding (updated by generation)",
            env="LLAMA_ARG_LOOKUP_CACHE_DYNAMIC",
        ),
        Option(
            "pooling",
            "--pooling TYPE",
            (Choice(*POOLINGS),),
            help="pooling type for embeddings, use model default if unspecified",
            env="LLAMA_ARG_POOLING",
            note="one of none, mean, cls, last, rank",
        ),
    ),
)
