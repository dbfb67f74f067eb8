"""server/completion, first part: devices, the model's metadata and template, slots, threads, context and batches."""

from llamabox.cli.options.option import Option
from llamabox.cli.options.parsers import (
    Choice,
    Integer,
    Number,
    Text,
    cpu_mask,
    cpu_range,
    gpu_layers,
    key_value,
    path,
    proportions,
    threads,
    words,
)

TEMPLATE_NAMES = (
    "chatglm3, chatglm4, chatml, command-r, deepseek, deepseek2, exaone3, falcon, falcon3, gemma, gigachat, granite, "
    "llama2, llama2-sys, llama2-sys-bos, llama2-sys-strip, llama3, llava, llava-mistral, megrez, minicpm, mistral-v1, "
    "mistral-v3, mistral-v3-tekken, mistral-v7, monarch, openchat, orion, phi3, rwkv-world, vicuna, vicuna-orca, zephyr"
)

DEVICES = (
    Option(
        "device",
        "-dev, --device <dev1,dev2,...>",
        (words,),
        help="comma-separated list of devices to use for offloading (none = don't offload)\n"
        "use --list-devices to see a list of available devices",
        env="LLAMA_ARG_DEVICE",
        note="a device that is absent is an error",
    ),
    Option(
        "gpu_layers",
        "-ngl, --gpu-layers, --n-gpu-layers N",
        (gpu_layers,),
        help="number of layers to store in VRAM",
        env="LLAMA_ARG_N_GPU_LAYERS",
    ),
    Option(
        "split_mode",
        "-sm, --split-mode SPLIT_MODE",
        (Choice("none", "layer", "row"),),
        default="layer",
        help="how to split the model across multiple GPUs, one of:\n"
        "- none: use one GPU only\n"
        "- layer (default): split layers and KV across GPUs\n"
        "- row: split rows across GPUs, store intermediate results and KV in --main-gpu",
    ),
    Option(
        "tensor_split",
        "-ts, --tensor-split SPLIT",
        (proportions,),
        help="fraction of the model to offload to each GPU, comma-separated list of proportions, e.g. 3,1",
    ),
)

MODEL = (
    Option(
        "override_kv",
        "--override-kv KEY=TYPE:VALUE",
        (key_value,),
        default=(),
        repeats=True,
        help="advanced option to override model metadata by key. may be specified multiple times.\n"
        "types: int, float, bool, str. example: --override-kv tokenizer.ggml.add_bos_token=bool:false",
    ),
    Option(
        "chat_template",
        "--chat-template JINJA_TEMPLATE",
        (Text("a template's name or Jinja text"),),
        help="set custom jinja chat template (default: template taken from model's metadata)\n"
        f"list of built-in templates:\n{TEMPLATE_NAMES}",
        env="LLAMA_ARG_CHAT_TEMPLATE",
    ),
    Option(
        "chat_template_file",
        "--chat-template-file FILE",
        (path,),
        help="set a file to load a custom jinja chat template (default: template taken from model's metadata)",
    ),
    Option(
        "slot_save_path",
        "--slot-save-path PATH",
        (path,),
        help="path to save slot kv cache (default: disabled)",
        note="a folder that is there",
    ),
    Option(
        "slot_prompt_similarity",
        "-sps, --slot-prompt-similarity N",
        (Number(0, 1),),
        default=0.5,
        help="how much the prompt of a request must match the prompt of a slot in order to use that slot "
        "(default: 0.50, 0.0 = disabled)",
        note="a slot is a number; prompts are found in the cache whichever slot they get",
    ),
    Option(
        "tokens_per_second",
        "-tps --tokens-per-second N",
        (Integer(-1),),
        default=0,
        help="maximum number of tokens per second (default: 0, 0 = disabled, -1 = try to detect)\n"
        "when enabled, limit the request within its X-Request-Tokens-Per-Second HTTP header",
        note="the header may only lower it; -1: the speed of one request, measured at start-up",
    ),
)

THREADS = (
    Option(
        "threads",
        "-t, --threads N",
        (threads,),
        default=-1,
        help="number of threads to use during generation (default: -1)",
        env="LLAMA_ARG_THREADS",
        note="-1: one a core; a number bounds NumPy's BLAS too",
    ),
    Option(
        "cpu_mask",
        "-C, --cpu-mask M",
        (cpu_mask,),
        default=frozenset(),
        help='set CPU affinity mask: arbitrarily long hex. Complements cpu-range (default: "")',
    ),
    Option(
        "cpu_range",
        "-Cr, --cpu-range lo-hi",
        (cpu_range,),
        default=frozenset(),
        help="range of CPUs for affinity. Complements --cpu-mask",
    ),
    Option(
        "cpu_strict",
        "--cpu-strict <0|1>",
        (Integer(0, 1),),
        default=0,
        help="use strict CPU placement (default: 0)",
    ),
    Option(
        "prio",
        "--prio N",
        (Integer(-1, 3),),
        default=0,
        help="set process/thread priority (default: 0), one of:\n- 0-normal\n- 1-medium\n- 2-high\n- 3-realtime",
        note="of the threads that compute; -1: low. The system's priorities 5, its own, -5, -10, -20; a refusal is a "
        "warning",
    ),
    Option(
        "poll",
        "--poll <0...100>",
        (Integer(0, 100),),
        default=50,
        help="use polling level to wait for work (0 - no polling, default: 50)",
        note="threads look for work for about 10 us a level, then nap; backend cpu",
    ),
    Option(
        "threads_batch",
        "-tb, --threads-batch N",
        (threads,),
        help="number of threads to use during batch and prompt processing (default: same as --threads)",
        note="for steps with more than one row",
    ),
    Option(
        "cpu_mask_batch",
        "-Cb, --cpu-mask-batch M",
        (cpu_mask,),
        help="set CPU affinity mask: arbitrarily long hex. Complements cpu-range-batch (default: same as --cpu-mask)",
    ),
    Option(
        "cpu_range_batch",
        "-Crb, --cpu-range-batch lo-hi",
        (cpu_range,),
        help="ranges of CPUs for affinity. Complements --cpu-mask-batch",
    ),
    Option(
        "cpu_strict_batch",
        "--cpu-strict-batch <0|1>",
        (Integer(0, 1),),
        help="use strict CPU placement (default: same as --cpu-strict)",
    ),
    Option(
        "prio_batch",
        "--prio-batch N",
        (Integer(-1, 3),),
        help="set process/thread priority : 0-normal, 1-medium, 2-high, 3-realtime (default: --priority)",
    ),
    Option(
        "poll_batch",
        "--poll-batch <0...100>",
        (Integer(0, 100),),
        help="use polling to wait for work (default: same as --poll",
    ),
)

CONTEXT = (
    Option(
        "ctx_size",
        "-c, --ctx-size N",
        (Integer(),),
        default=4096,
        help="size of the prompt context (default: 4096, 0 = loaded from model)",
        env="LLAMA_ARG_CTX_SIZE",
    ),
    Option(
        "context_shift",
        "--no-context-shift",
        const=False,
        default=True,
        help="disables context shift on infinite text generation (default: disabled)",
        note="a full context then ends the text with finish reason length",
    ),
    Option(
        "n_predict",
        "-n, --predict N",
        (Integer(-2),),
        default=-1,
        help="number of tokens to predict (default: -1, -1 = infinity, -2 = until context filled)",
        env="LLAMA_ARG_N_PREDICT",
    ),
    Option(
        "batch_size",
        "-b, --batch-size N",
        (Integer(1),),
        default=2048,
        help="logical maximum batch size (default: 2048)",
        env="LLAMA_ARG_BATCH",
    ),
    Option(
        "ubatch_size",
        "-ub, --ubatch-size N",
        (Integer(1),),
        default=512,
        help="physical maximum batch size (default: 512)",
        env="LLAMA_ARG_UBATCH",
    ),
    Option(
        "keep",
        "--keep N",
        (Integer(-1),),
        default=0,
        help="number of tokens to keep from the initial prompt (default: 0, -1 = all)",
    ),
    Option(
        "escape",
        "-e, --escape",
        default=True,
        help=r"process escapes sequences (\n, \r, \t, \', \", \\) (default: true)",
        note="in --dry-sequence-breaker and in prompts on the command line",
    ),
    Option("escape", "--no-escape", const=False, default=True, help="do not process escape sequences"),
)
