"""`llamabox tokenize FILE TEXT`: show the tokens of a text."""

import sys
from collections.abc import Sequence
from pathlib import Path

from llamabox.cli.arguments import Arguments
from llamabox.cli.options import OptionError


def main(argv: Sequence[str]) -> int:
    """Print one line a token, or with --ids one list of ids."""
    from llamabox.gguf import open_gguf
    from llamabox.tokenizer import load_tokenizer

    args = _parse(argv)
    tokenizer = load_tokenizer(open_gguf(args.file, overrides=args.override_kv).metadata)
    ids = tokenizer.encode(_text(args), add_special=not args.no_bos, parse_special=not args.no_parse_special)
    if args.ids:
        print(ids)
    else:
        for id in ids:
            print(f"{id:6} -> {_shown(tokenizer.piece(id))}")
    if args.show_count:
        print(f"Total number of tokens: {len(ids)}")
    return 0


def _parse(argv):
    parser = Arguments("llamabox tokenize", description="Show the tokens of a text.")
    parser.add_argument("file", metavar="FILE", help="a GGUF file; one with a vocabulary only will do")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("text", metavar="TEXT", nargs="?", help="the text")
    source.add_argument("-f", "--file", dest="text_file", metavar="PATH", help="read the text from a file")
    source.add_argument("--stdin", action="store_true", help="read the text from standard input")
    parser.add_argument("--ids", action="store_true", help="print the ids alone, as [1, 2, 3]")
    parser.add_argument("--no-bos", action="store_true", help="no BOS, EOS or separator around the text")
    parser.add_argument("--no-parse-special", action="store_true", help="control tokens' names are plain text")
    parser.add_argument("--show-count", action="store_true", help="print the number of tokens too")
    parser.add_argument(
        "--override-kv", action="append", default=[], metavar="KEY=TYPE:VALUE",
        help="change or add a metadata value; TYPE is int, float, bool or str; may be given often",
    )  # fmt: skip
    return parser.parse_args(argv)


def _text(args) -> str:
    if args.stdin:
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    if args.text_file is not None:
        return Path(args.text_file).read_bytes().decode("utf-8", "replace")
    if args.text is None:
        raise OptionError("no text: expected TEXT, --file PATH or --stdin")
    return args.text


def _shown(piece: bytes) -> str:
    """A token's bytes in quotes; as bytes where they are no whole characters."""
    try:
        return repr(piece.decode())
    except UnicodeDecodeError:
        return repr(piece)
