"""llamabox: the options that llama-box does not have."""

from llamabox.cli.options.llama_slots import LLAMA_SLOTS
from llamabox.cli.options.llama_speculative import LLAMA_SPECULATIVE
from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import Choice, Integer, Number

OWN = Group(
    "llamabox",
    (
        Option(
            "backend",
            "--backend NAME",
            (Choice("cpu", "numpy", "cupy", "torch"),),
            default="cpu",
            help="what computes: cpu (compiled kernels), numpy (the plain reference, slow), cupy (NVIDIA and AMD\n"
            "GPUs; needs cupy) or torch (any GPU that torch knows, or the CPU; needs torch) (default: cpu,\n"
            "or what runs on the device of -dev)",
            env="LLAMABOX_BACKEND",
        ),
        Option(
            "top_n_sigma",
            "--top-nsigma, --top-n-sigma N",
            (Number(),),
            default=-1.0,
            help="top-n-sigma sampling, after dry unless --samplers names another place (default: -1.0, 0 or less = "
            "disabled)",
        ),
        Option(
            "embd_normalize",
            "--embd-normalize N",
            (Integer(-1, 2**31 - 1),),
            default=2,
            help="norm of embeddings: -1 none, 0 largest absolute value becomes 32760, 1 taxicab, 2 euclidean,\n"
            "more: that p-norm (default: 2)",
        ),
        *LLAMA_SLOTS,
        *LLAMA_SPECULATIVE,
    ),
)
