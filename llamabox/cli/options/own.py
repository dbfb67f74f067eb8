"""llamabox: the options that llama-box does not have."""

from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import Choice, Number

OWN = Group(
    "llamabox",
    (
        Option(
            "backend",
            "--backend NAME",
            (Choice("cpu", "numpy"),),
            default="cpu",
            help="what computes: cpu (compiled kernels) or numpy (the plain reference, slow) (default: cpu)",
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
    ),
)
