"""Writes vocabularies of the models that llama.cpp's test data lack: RWKV, unigram, PLaMo 2 and BPE's kin.

RWKV's is the real one, from the PyPI package `rwkv`. The others are small, made only to run each algorithm: a unigram
model trained by `sentencepiece` on this project's own texts and converted as llama.cpp's converter does, and its pieces
in the clothes of other models.

    python conformance/make_vocabs.py

It needs gguf, sentencepiece, protobuf and rwkv, and writes conformance/vocabs/made-*.gguf.
"""

import ast
import io
import itertools
from importlib.resources import files
from pathlib import Path

import gguf

HERE = Path(__file__).parent
VOCABS = HERE / "vocabs"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = (
    gguf.TokenType[name] for name in ("NORMAL", "UNKNOWN", "CONTROL", "USER_DEFINED", "UNUSED", "BYTE")
)
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
KMER_MARK = "\ue000"


def write(
    name: str, model: str, tokens, types, scores=None, merges=None, pre="default", ids=None, flags=None, rules=b""
):
    """One vocabulary-only GGUF. ids, flags: values by the names of `tokenizer.ggml.*`; rules: precompiled_charsmap."""
    writer = gguf.GGUFWriter(VOCABS / f"made-{name}.gguf", "llama")
    writer.add_name(name)
    for add in (writer.add_context_length, writer.add_embedding_length, writer.add_feed_forward_length):
        add(32)
    for add in (writer.add_block_count, writer.add_head_count):
        add(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores is not None:
        writer.add_token_scores(scores)
    if merges is not None:
        writer.add_token_merges(merges)
    if rules:
        writer.add_precompiled_charsmap(rules)
    for key, value in (ids or {}).items():
        writer.add_uint32(f"tokenizer.ggml.{key}", value)
    for key, value in (flags or {}).items():
        writer.add_bool(f"tokenizer.ggml.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def rwkv():
    """The World vocabulary, 65,529 tokens, as llama.cpp's converter writes it."""
    tokens, types = ["<s>"], [CONTROL]
    for line in (files("rwkv") / "rwkv_vocab_v20230424.txt").read_text(encoding="utf-8").splitlines():
        token = ast.literal_eval(line[line.index(" ") : line.rindex(" ")].strip())
        data = token.encode() if isinstance(token, str) else token
        tokens.append(repr(data)[2:-1])
        types.append(NORMAL)
    for id in range(len(tokens), 65536):
        tokens.append(f"[PAD{id}]")
        types.append(UNUSED)
    write("rwkv-world", "rwkv", tokens, types, ids={"eot_token_id": 261, "bos_token_id": 0, "eos_token_id": 0})


def sentencepiece_model():
    """A unigram model of at most 1,500 pieces over this project's texts, with two user-defined symbols; its proto."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    paths = sorted([*VOCABS.glob("*.inp"), *HERE.parent.glob("*.md"), *HERE.parent.glob("docs/*.md")])
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=1500, model_type="unigram", num_threads=1,
        user_defined_symbols=["<sep>", "[note]"], character_coverage=0.998, hard_vocab_limit=False,
    )  # fmt: skip
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto


def unigram(proto, name: str, merge_spaces: bool, prefix: bool):
    """A t5 vocabulary with padding tokens, as T5's have."""
    kinds = proto.SentencePiece
    by_kind = {kinds.UNKNOWN: UNKNOWN, kinds.CONTROL: CONTROL, kinds.USER_DEFINED: USER_DEFINED, kinds.BYTE: BYTE}
    tokens = [piece.piece for piece in proto.pieces] + ["[PAD1]", "[PAD2]"]
    scores = [piece.score for piece in proto.pieces] + [-10000.0, -10000.0]
    types = [by_kind.get(piece.type, NORMAL) for piece in proto.pieces] + [UNUSED, UNUSED]
    rules = proto.normalizer_spec.precompiled_charsmap
    write(
        name, "t5", tokens, types, scores, ids={"unknown_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
        flags={"add_space_prefix": prefix, "remove_extra_whitespaces": merge_spaces}, rules=rules,
    )  # fmt: skip


def pieces_of(proto) -> list[tuple[str, float]]:
    """The normal pieces with their scores, best first."""
    normal = [(piece.piece, piece.score) for piece in proto.pieces if piece.type == proto.SentencePiece.NORMAL]
    return sorted(normal, key=lambda item: -item[1])


def plamo2(pieces):
    """Control tokens, bytes, pieces."""
    controls = ["<|plamo:unk|>", "<|plamo:bos|>", "<|plamo:eos|>", "<|plamo:pad|>"]
    texts = [text.replace("\u2581", " ") for text, _ in pieces]
    kept = [at for at, text in enumerate(texts) if text not in texts[:at]]
    tokens = controls + BYTES + [texts[at] for at in kept]
    types = [CONTROL] * 4 + [BYTE] * 256 + [NORMAL] * len(kept)
    scores = [0.0] * 260 + [pieces[at][1] for at in kept]
    write("plamo2", "plamo2", tokens, types, scores)


def merges_of(texts: list[str]) -> list[str]:
    """Every way to make one of the texts from two others, by the order of what is made."""
    known = set(texts)
    splits = ((text[:at], text[at:]) for text in texts for at in range(1, len(text)))
    return [f"{left} {right}" for left, right in splits if left in known and right in known]


def raw_bpe(pieces, model: str, pre: str):
    """BPE over plain characters with byte tokens, as Gemma 4 and the whitespace model have it."""
    texts = [text for text, _ in pieces if " " not in text] + ["\n", "\n\n"]
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *BYTES, *texts]
    types = [CONTROL, CONTROL, CONTROL, UNKNOWN] + [BYTE] * 256 + [NORMAL] * len(texts)
    ids = {"bos_token_id": 2, "eos_token_id": 1, "unknown_token_id": 3, "padding_token_id": 0}
    write(model, model, tokens, types, merges=merges_of(texts), pre=pre, ids=ids)


def hybrid_dna(pieces):
    """Byte-level BPE for text and one token for each of the 4,096 words of six bases."""
    ascii_texts = [text.replace("\u2581", "\u0120") for text, _ in pieces if text.replace("\u2581", "").isascii()]
    alphabet = [chr(point) for point in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x144)]]
    texts = list(dict.fromkeys(alphabet + ascii_texts))
    kmers = ["".join(bases) + KMER_MARK for bases in itertools.product("ACGT", repeat=6)]
    tokens = ["<|end|>", *texts, "<dna>", "</dna>", "<oov>", *kmers]
    types = [CONTROL] + [NORMAL] * (len(tokens) - 1)
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    write("hybriddna", "hybriddna", tokens, types, merges=merges_of(texts), pre="gpt-2", ids=ids)


def main():
    rwkv()
    proto = sentencepiece_model()
    unigram(proto, "unigram", merge_spaces=True, prefix=True)
    unigram(proto, "unigram-spaces", merge_spaces=False, prefix=True)
    pieces = pieces_of(proto)
    plamo2(pieces)
    raw_bpe(pieces, "gemma4", "gemma4")
    raw_bpe(pieces, "whitespace", "whitespace")
    hybrid_dna(pieces)


if __name__ == "__main__":
    main()
