"""Make a GGUF model that greedily continues a cycle of tokens: text that can be guessed, at the cost of a real shape.

    python tools/make_cycle_model.py SHAPE VOCAB OUT [--type q4_0] [--period 64] [--seed 1]

SHAPE is a name of make_model.SHAPES. The weights are those of make_model.py but for two things: the residual branches
are small, so that a token's embedding reaches the output nearly as it was, and the output's row of each token is the
embedding of the token before it in a cycle of `period` ids (0 .. period-1 are one cycle, and so on). Two files made
with the same period continue each other's text, whatever their shapes.
"""

import argparse
from pathlib import Path

import numpy as np
from make_model import SHAPES, add_metadata, draw, real_skeleton, resized, type_for

from llamabox.gguf import GGMLType, GGUFWriter, open_gguf

BRANCH = 0.01  # factor of the weights that add to the residual stream


def before(n_vocab: int, period: int) -> np.ndarray:
    """The id before each id: of the last, shorter cycle too."""
    ids = np.arange(n_vocab)
    first = ids // period * period
    length = np.minimum(period, n_vocab - first)
    return first + (ids - first - 1) % length


def make_cycle_model(shape: str, vocab_path: Path, out: Path, type: GGMLType, period: int, seed: int) -> None:
    """Write the model."""
    vocab = open_gguf(vocab_path)
    n_vocab = len(vocab.metadata["tokenizer.ggml.tokens"])
    skeleton = resized(real_skeleton(shape), n_vocab, None)
    writer = GGUFWriter(out, None)
    add_metadata(writer, skeleton, vocab)
    for name, ne, stored in skeleton["tensors"]:
        scale = BRANCH if name.endswith(("attn_output.weight", "ffn_down.weight")) else 1.0
        kind = type_for(ne, stored, type)
        writer.add_tensor(name, lambda *a, args=(name, ne, kind, scale, seed): draw(*args), kind, tuple(ne[::-1]))
        if name == "token_embd.weight":
            embedding = (name, ne, kind, scale, seed)
    order = before(n_vocab, period)
    name, ne, kind, *_ = embedding
    writer.add_tensor("output.weight", lambda *a: draw(*embedding)[order], kind, tuple(ne[::-1]))
    writer.write()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("vocab", help="a GGUF file with a vocabulary", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", default="q4_0", help="of the matrices (default: q4_0)", type=str.upper)
    parser.add_argument("--period", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.type not in GGMLType.__members__ or args.period < 1:
        parser.error("expected a type of GGUF and a period of 1 or more")
    make_cycle_model(args.shape, args.vocab, args.out, GGMLType[args.type], args.period, args.seed)


if __name__ == "__main__":
    main()
