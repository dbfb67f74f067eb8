"""Make a random-weight GGUF model: the shape of a skeleton, or a real one, joined with the vocabulary of a GGUF file.

    python tools/make_model.py SKELETON VOCAB OUT [--type q8_0] [--context 4096] [--seed 1]

SKELETON is a file of conformance/archs/skeletons or a name of SHAPES. The vocabulary dimension of the weights becomes
the vocabulary's size. The same arguments give the same bytes: each tensor is drawn from a seed made of its name.
"""

import argparse
import fnmatch
import sys
import zlib
from pathlib import Path

import numpy as np

from llamabox.gguf import GGMLType, GGUFError, GGUFFile, GGUFWriter, ValueType, open_gguf, quantize

sys.path.append(str(Path(__file__).resolve().parents[1] / "conformance" / "archs"))
import materialize  # noqa: E402

QWEN2_05B = {"n_layer": 24, "n_embd": 896, "n_ff": 4864, "n_head": 14, "n_head_kv": 2, "base": 1e6, "bias": True}
LLAMA_1B = {"n_layer": 16, "n_embd": 2048, "n_ff": 8192, "n_head": 32, "n_head_kv": 8, "base": 5e5, "bias": False}
RERANK = {"n_layer": 12, "n_embd": 384, "n_ff": 1536, "n_head": 12}
QWEN2_DRAFT = {"n_layer": 2, "n_embd": 256, "n_ff": 768, "n_head": 4, "n_head_kv": 2, "base": 1e6, "bias": True}
SHAPES: dict[str, tuple[str, dict]] = {
    "qwen2-0.5b": ("qwen2", QWEN2_05B),
    "qwen2-draft": ("qwen2", QWEN2_DRAFT),  # no released model's: small beside the one that it drafts for
    "llama-1b": ("llama", LLAMA_1B),
    "rerank-12x384": ("bert", RERANK),
}
VOCAB_AXIS = {"token_embd.weight": 1, "output.weight": 1, "output.bias": 0}  # in ggml's order, fastest first
CHUNK_VALUES = 1 << 22  # drawn and quantised at a time


def real_skeleton(name: str) -> dict:
    """A skeleton, as conformance/archs/materialize.py describes it, of a released model's shape; output is tied."""
    arch, s = SHAPES[name]
    if arch == "bert":
        return rerank_skeleton(name, **s)
    D, F, K = s["n_embd"], s["n_ff"], s["n_embd"] // s["n_head"] * s["n_head_kv"]
    counts = {"block_count": s["n_layer"], "context_length": 32768, "embedding_length": D, "feed_forward_length": F}
    counts |= {"attention.head_count": s["n_head"], "attention.head_count_kv": s["n_head_kv"], "vocab_size": 1}
    reals = {"attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": s["base"]}
    kv: list[list] = [["general.architecture", "STRING", arch], ["general.name", "STRING", f"random {name}"]]
    kv += [[f"{arch}.{key}", "UINT32", value] for key, value in counts.items()]
    kv += [[f"{arch}.{key}", "FLOAT32", value] for key, value in reals.items()]
    tensors: list[list] = [["token_embd.weight", [D, 1]], ["output_norm.weight", [D]]]
    for i in range(s["n_layer"]):
        layer: list[list] = [["attn_norm.weight", [D]], ["ffn_norm.weight", [D]], ["ffn_gate.weight", [D, F]]]
        layer += [["ffn_up.weight", [D, F]], ["ffn_down.weight", [F, D]], ["attn_output.weight", [D, D]]]
        for part, rows in (("q", D), ("k", K), ("v", K)):
            layer.append([f"attn_{part}.weight", [D, rows]])
            if s["bias"]:
                layer.append([f"attn_{part}.bias", [rows]])
        tensors += [[f"blk.{i}.{tensor}", ne] for tensor, ne in layer]
    return {"arch": arch, "kv": kv, "tensors": [[tensor, ne, "F32"] for tensor, ne in tensors]}


def rerank_skeleton(name: str, n_layer: int, n_embd: int, n_ff: int, n_head: int) -> dict:
    """A skeleton of bert with a classifier of one label."""
    D, F = n_embd, n_ff
    counts = {"block_count": n_layer, "context_length": 512, "embedding_length": D, "feed_forward_length": F}
    counts |= {"attention.head_count": n_head, "pooling_type": 4, "vocab_size": 1}
    kv: list[list] = [["general.architecture", "STRING", "bert"], ["general.name", "STRING", f"random {name}"]]
    kv += [[f"bert.{key}", "UINT32", value] for key, value in counts.items()]
    kv += [["bert.attention.layer_norm_epsilon", "FLOAT32", 1e-12], ["bert.attention.causal", "BOOL", False]]
    kv += [["tokenizer.ggml.token_type_count", "UINT32", 2]]
    tensors: list[list] = [["token_embd.weight", [D, 1]], ["token_types.weight", [D, 2]]]
    tensors += [["position_embd.weight", [D, 512]], ["cls.weight", [D, D]], ["cls.bias", [D]]]
    tensors += [["cls.output.weight", [D, 1]], ["cls.output.bias", [1]]]
    norms = ["token_embd_norm"]
    for i in range(n_layer):
        norms += [f"blk.{i}.attn_output_norm", f"blk.{i}.layer_output_norm"]
        for part, ne in [(f"attn_{p}", [D, D]) for p in ("q", "k", "v", "output")] + [
            ("ffn_up", [D, F]),
            ("ffn_down", [F, D]),
        ]:
            tensors += [[f"blk.{i}.{part}.weight", ne], [f"blk.{i}.{part}.bias", ne[1:]]]
    tensors += [[f"{norm}.{kind}", [D]] for norm in norms for kind in ("weight", "bias")]
    return {"arch": "bert", "kv": kv, "tensors": [[tensor, ne, "F32"] for tensor, ne in tensors]}


def resized(skeleton: dict, n_vocab: int, context: int | None) -> dict:
    """The skeleton with another vocabulary size and, if given, context length."""
    arch, tensors = skeleton["arch"], []
    for name, ne, kind in skeleton["tensors"]:
        ne = list(ne)
        if name in VOCAB_AXIS:
            ne[VOCAB_AXIS[name]] = n_vocab
        elif name == "position_embd.weight" and context is not None:
            ne[1] = context
        tensors.append([name, ne, kind])
    new = {f"{arch}.vocab_size": n_vocab} | ({} if context is None else {f"{arch}.context_length": context})
    kv = [[key, kind, *([new[key]] if key in new else value)] for key, kind, *value in skeleton["kv"]]
    return {**skeleton, "kv": kv, "tensors": tensors}


def add_metadata(writer: GGUFWriter, skeleton: dict, vocab: GGUFFile) -> None:
    """The skeleton's metadata but for its tokenizer, then the vocabulary's; the count of token types is a shape."""
    types_key = "tokenizer.ggml.token_type_count"
    for key, kind, *value in skeleton["kv"]:
        if key.startswith("tokenizer.") and key != types_key:
            continue
        if kind == "ARRAY":
            writer.add(key, value[1], (ValueType.ARRAY, ValueType[value[0]]))
        else:
            writer.add(key, value[0], ValueType[kind])
    for key, value in vocab.metadata.items():
        if key.startswith("tokenizer.") and key != types_key:
            writer.add(key, value, vocab.value_types[key])


def type_for(ne: list[int], stored: str, wanted: GGMLType | None) -> GGMLType:
    """The wanted type for matrices whose rows fill its blocks, F32 for the rest; without a wish the skeleton's."""
    if wanted is None:
        return GGMLType[stored]
    return wanted if len(ne) > 1 and ne[0] % wanted.block_size == 0 else GGMLType.F32


def draw(name: str, ne: list[int], type: GGMLType, scale: float, seed: int) -> np.ndarray:
    """A tensor in stored form. Values are uniform; mean and deviation are those of conformance/archs."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    mean, deviation = materialize.moments(name, ne, scale)
    rows = int(np.prod(ne[1:], dtype=np.int64))
    step = max(1, CHUNK_VALUES // ne[0])
    parts = []
    for start in range(0, rows, step):
        unit = (rng.random((min(step, rows - start), ne[0]), np.float32) - np.float32(0.5)) * np.float32(12**0.5)
        parts.append(quantize(np.float32(mean) + np.float32(deviation) * unit, type))
    data = np.concatenate(parts)
    data = data if type.dtype is None else data.view(type.dtype)
    return data.reshape(*ne[:0:-1], data.shape[-1])


def make_model(
    skeleton: dict, vocab: GGUFFile, out: Path, type: GGMLType | None, context: int | None, seed: int
) -> None:
    """Write the model.

    Errors:  GGUFError for a vocabulary without tokens, or a type that cannot be made
    """
    tokens = vocab.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or len(tokens) == 0:
        raise GGUFError(f"{vocab.path}: found no tokenizer.ggml.tokens, expected a vocabulary")
    skeleton = resized(skeleton, len(tokens), context)
    writer = GGUFWriter(out, None)
    add_metadata(writer, skeleton, vocab)
    factors = skeleton.get("scale", {})
    for name, ne, stored in skeleton["tensors"]:
        scale = next((f for pattern, f in factors.items() if fnmatch.fnmatchcase(name, pattern)), 1.0)
        kind = type_for(ne, stored, type)
        writer.add_tensor(name, lambda *a, args=(name, ne, kind, scale, seed): draw(*args), kind, tuple(ne[::-1]))
    writer.write()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("skeleton", help=f"a skeleton's JSON file, or one of {', '.join(SHAPES)}")
    parser.add_argument("vocab", help="a GGUF file with a vocabulary", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", help="of the matrices, as q8_0; default: the skeleton's own", type=str.upper)
    parser.add_argument("--context", help="context length, in tokens", type=int)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.type is not None and args.type not in GGMLType.__members__:
        parser.error(f"--type {args.type}: expected one of {', '.join(GGMLType.__members__)}")
    real = args.skeleton in SHAPES
    skeleton = real_skeleton(args.skeleton) if real else materialize.load_skeleton(Path(args.skeleton))
    type = None if args.type is None else GGMLType[args.type]
    make_model(skeleton, open_gguf(args.vocab), args.out, type, args.context, args.seed)


if __name__ == "__main__":
    main()
