"""Turn a skeleton (metadata and tensor shapes) into a tiny random-weight GGUF, the same bytes on every machine.

A skeleton is a JSON object:
    name     file name, without extension
    arch     general.architecture
    kv       [key, type, value] or [key, "ARRAY", item type, [values]], in file order; types: gguf.GGUFValueType names
    tensors  [name, ne, type] in file order; ne is ggml's order, fastest axis first, so [in, out] for a matrix;
             type is a gguf.GGMLQuantizationType name
    vocab    optional: file beside the skeletons whose "kv" list is put before this one's (a shared tokenizer)
    scale    optional: {tensor name pattern: factor} on top of the rule below, where a model would else saturate

Weights are drawn per tensor from a seed made of its name, so adding a tensor changes no other. They are uniform, not
normal: a uniform f32 is an exact function of the random bits, and no libm decides its last bit.

    python materialize.py SKELETON.json OUT.gguf
    python materialize.py --all DIR OUTDIR
"""

import fnmatch
import json
import sys
import zlib
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, GGUFWriter

PACK_SEED = 20261001

# Quantised tensors are not quantised here: their blocks are random bytes with the f16 scales put in, so no quantiser
# has to agree with another. Per type: (byte offset, value) of each f16 field, as multiples of the wanted deviation.
SCALES = {
    "Q1_0": [(0, 1.0)],
    "Q4_0": [(0, 1 / 4.6)],
    "Q4_1": [(0, 1 / 4.6), (2, -7.5 / 4.6)],
    "Q5_0": [(0, 1 / 9.2)],
    "Q5_1": [(0, 1 / 9.2), (2, -15.5 / 9.2)],
    "Q8_0": [(0, 1 / 74)],
    "Q2_K": [(80, 1 / 13.9), (82, 1.5 / 13.9)],
    "Q3_K": [(108, 1 / 43)],
    "Q4_K": [(0, 1 / 259), (2, 7.5 / 259)],
    "Q5_K": [(0, 1 / 524), (2, 15.5 / 524)],
    "Q6_K": [(208, 1 / 1364)],
    "IQ1_S": [(0, 1 / 7.2)],
    "IQ1_M": [],  # d is spread over four nibbles
    "IQ2_XXS": [(0, 1 / 53)],
    "IQ2_XS": [(0, 1 / 56)],
    "IQ2_S": [(0, 1 / 56)],
    "IQ3_XXS": [(0, 1 / 143)],
    "IQ3_S": [(0, 1 / 140)],
    "IQ4_NL": [(0, 1 / 67)],
    "IQ4_XS": [(0, 1 / 1243)],
    "TQ1_0": [(52, 1 / 0.82)],
    "TQ2_0": [(64, 1 / 0.71)],
    "MXFP4": [],  # one power of two per block
    "NVFP4": [],  # four small floats per block
}

# How each tensor is distributed: (pattern, mean, standard deviation). First match wins; u has mean 0, variance 1.
# A deviation of None is fan-in scaling, 1 / sqrt(ne[0]), which keeps activations near 1 from layer to layer.
RULES = [
    ("*.input_scale", 1.0, 0.1),
    ("*.scale", 1.0, 0.1),
    ("*norm*.bias", 0.0, 0.1),
    ("*norm*", 1.0, 0.1),  # norm gains, with or without the .weight suffix
    ("*_ln.weight", 1.0, 0.1),
    ("*exp_probs_b*", 0.0, 0.1),  # added to router probabilities, which lie in 0..1
    ("*ssm_dt.bias", -0.5, 0.5),  # before a softplus
    ("*.bias", 0.0, 0.2),
    ("token_embd.weight", 0.0, 0.5),
    ("*token_embd.weight", 0.0, 0.5),
    ("position_embd.weight", 0.0, 0.5),
    ("token_types.weight", 0.0, 0.5),
    ("rope_f*.weight", 2.0, 0.5),  # divisors of the RoPE frequencies: positive
    ("*ssm_a", -0.5, 0.25),  # a decay rate: negative
    ("*ssm_d", 1.0, 0.1),
    ("*attn_sinks*", 0.0, 1.0),
    ("*attn_rel_b*", 0.0, 1.0),
    ("*time_mix_lerp*", 0.5, 0.25),  # interpolation with the previous token
    ("*channel_mix_lerp*", 0.5, 0.25),
    ("*time_mix_decay.weight", -1.0, 0.5),  # decay is exp(-exp(w))
    ("*time_mix_first.weight", 0.0, 0.5),
    ("*time_mix_[wav]0.weight", 0.0, 0.5),
    ("*time_mix_k_[ka].weight", 1.0, 0.1),
    ("*time_mix_r_k.weight", 0.0, 0.3),
    ("*_scale.weight", 1.0, 0.1),
    ("*scales", 1.0, 0.1),
    ("*_base.weight", 0.0, 0.5),  # offsets inside a gate
    ("*_ape.weight", 0.0, 0.5),
    ("*_init", 0.0, 0.5),
    ("*ffn_gate_inp.weight", 0.0, 0.25),  # router: wide enough that the chosen experts are never a near tie
    ("*", 0.0, None),
]


def moments(name, ne, scale):
    """Mean and standard deviation of a tensor's values."""
    mean, deviation = next((m, d) for pattern, m, d in RULES if fnmatch.fnmatchcase(name, pattern))
    return mean * scale, (ne[0] ** -0.5 if deviation is None else deviation) * scale


def weights(name, ne, type_name="F32", scale=1.0):
    """A tensor as GGUF stores it: f32, f16 or uint8 (bf16 and blocks), its shape the reverse of ne."""
    rng = np.random.default_rng([PACK_SEED, zlib.crc32(name.encode())])
    mean, deviation = moments(name, ne, scale)
    if type_name in SCALES:
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType[type_name]]
        rows = int(np.prod(ne[1:]))
        blocks = random_blocks(rng, type_name, rows * (ne[0] // block), size, deviation)
        return blocks.reshape(*ne[:0:-1], ne[0] // block * size)
    unit = (rng.random(int(np.prod(ne)), dtype=np.float32) - np.float32(0.5)) * np.float32(12**0.5)
    values = (np.float32(mean) + np.float32(deviation) * unit).reshape(ne[::-1])
    if type_name == "BF16":
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    return values.astype({"F32": np.float32, "F16": np.float16}[type_name])


def random_blocks(rng, type_name, count, size, deviation):
    """uint8 (count, size): blocks of a quantised type whose values have about the given deviation and mean 0."""
    blocks = np.frombuffer(rng.bytes(count * size), np.uint8).reshape(count, size).copy()
    sign = blocks[:, 1] & 128
    for offset, multiple in SCALES[type_name]:
        blocks[:, offset : offset + 2] = np.frombuffer(np.float16(multiple * deviation).tobytes(), np.uint8)
    if type_name in ("Q4_0", "Q5_0", "IQ4_NL"):
        blocks[:, 1] |= sign  # codes lean to one side: scales of both signs, as in real files
    elif type_name == "Q8_0":
        blocks[:, 2:][blocks[:, 2:] == 128] = 129  # quantisers never write -128
    elif type_name == "TQ2_0":
        codes = blocks[:, :64]
        codes ^= codes & codes << 1 & 0xAA  # nor the fourth of the 2-bit codes
    elif type_name == "IQ1_M":
        d = int(np.float16(deviation / 7.2).view(np.uint16))
        for i in range(4):  # top nibble of each of the four u16 scales
            blocks[:, 49 + 2 * i] = blocks[:, 49 + 2 * i] & 15 | (d >> 4 * i & 15) << 4
    elif type_name == "MXFP4":
        blocks[:, 0] = 127 + round(np.log2(deviation / 2.9)) - (blocks[:, 0] & 1)  # E8M0
    elif type_name == "NVFP4":
        blocks[:, :4] = 8 + (blocks[:, :4] & 3)  # UE4M3: 1.0 to 1.375 times 2^-6
    return blocks


def load_skeleton(path):
    skeleton = json.loads(Path(path).read_text())
    if "vocab" in skeleton:
        shared = json.loads((Path(path).parent / skeleton["vocab"]).read_text())
        skeleton["kv"] = shared["kv"] + skeleton["kv"]
    return skeleton


def materialize(skeleton, out):
    """Write the GGUF of a loaded skeleton; returns the CRC-32 of its tensor data, in tensor order."""
    writer = GGUFWriter(out, skeleton["arch"])
    writer.kv_data[0].clear()  # the skeleton carries general.architecture itself, in its own place
    for key, kind, *value in skeleton["kv"]:
        if kind == "ARRAY":
            writer.add_key_value(key, value[1], GGUFValueType.ARRAY, sub_type=GGUFValueType[value[0]])
        else:
            writer.add_key_value(key, value[0], GGUFValueType[kind])
    crc = 0
    for name, ne, type_name in skeleton["tensors"]:
        factors = skeleton.get("scale", {}).items()
        scale = next((f for pattern, f in factors if fnmatch.fnmatchcase(name, pattern)), 1.0)
        data = weights(name, ne, type_name, scale)
        raw = GGMLQuantizationType[type_name] if data.dtype == np.uint8 else None
        writer.add_tensor(name, data, raw_dtype=raw)
        crc = zlib.crc32(data.tobytes(), crc)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return crc


def main(args):
    if len(args) == 3 and args[0] == "--all":
        Path(args[2]).mkdir(parents=True, exist_ok=True)
        for path in sorted(Path(args[1]).glob("*.json")):
            skeleton = load_skeleton(path)
            if "tensors" in skeleton:
                materialize(skeleton, Path(args[2]) / f"{path.stem}.gguf")
    elif len(args) == 2:
        materialize(load_skeleton(args[0]), args[1])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
