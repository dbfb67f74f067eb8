"""`llamabox convert FOLDER OUT`: turn a Hugging Face model folder into a GGUF file."""

from collections.abc import Sequence

from llamabox.cli.arguments import Arguments


def main(argv: Sequence[str]) -> int:
    """Convert a folder; the name of each tensor is shown on a terminal as it is written."""
    from rich.console import Console

    from llamabox.gguf.convert import convert_folder

    args = _parse(argv)
    console = Console(stderr=True)
    with console.status("reading ...") as status:
        convert_folder(args.folder, args.output, args.type, progress=status.update if console.is_terminal else None)
    print(f"wrote {args.output}")
    return 0


def _parse(argv):
    parser = Arguments(
        "llamabox convert", description="Turn a Hugging Face folder (config.json, *.safetensors) into a GGUF file."
    )
    parser.add_argument("folder", metavar="FOLDER", help="the model's folder")
    parser.add_argument("output", metavar="OUT", help="the file to write; it appears when it is complete")
    parser.add_argument(
        "--type",
        choices=("auto", "f32", "f16", "bf16", "q8_0"),
        default="auto",
        help="type of the matrices (default: auto, the folder's own)",
    )
    return parser.parse_args(argv)
