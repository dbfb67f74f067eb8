"""llamabox: the options that llama-box does not have."""

from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import Choice

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
    ),
)
