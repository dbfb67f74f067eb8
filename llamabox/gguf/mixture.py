"""Which type each tensor of a file gets: llama-quantize's named mixtures, as far as quantisers exist here.

A mixture has a main type; the tensors that suffer most from few bits (output, attn_v, some ffn_down) get a larger one.
The rules are those of llama.cpp's llama-quant.cpp, including what they count and in which order.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llamabox.gguf.errors import GGUFError
from llamabox.gguf.types import GGMLType

# mixture: (general.file_type, main type)
MIXTURES = {
    "F32": (0, GGMLType.F32),
    "F16": (1, GGMLType.F16),
    "BF16": (32, GGMLType.BF16),
    "Q8_0": (7, GGMLType.Q8_0),
    "Q6_K": (18, GGMLType.Q6_K),
    "Q5_K_M": (17, GGMLType.Q5_K),
    "Q5_K_S": (16, GGMLType.Q5_K),
    "Q5_1": (9, GGMLType.Q5_1),
    "Q5_0": (8, GGMLType.Q5_0),
    "Q4_K_M": (15, GGMLType.Q4_K),
    "Q4_K_S": (14, GGMLType.Q4_K),
    "Q4_1": (3, GGMLType.Q4_1),
    "Q4_0": (2, GGMLType.Q4_0),
    "TQ2_0": (37, GGMLType.TQ2_0),
    "TQ1_0": (36, GGMLType.TQ1_0),
    "MXFP4_MOE": (38, GGMLType.MXFP4),
}
ALIASES = {"Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
UNQUANTISED = (GGMLType.F32, GGMLType.F16, GGMLType.BF16)

# Where a row is no whole number of the type's blocks.
NARROW_FALLBACK = {
    GGMLType.TQ1_0: GGMLType.Q4_0,
    GGMLType.TQ2_0: GGMLType.Q4_0,
    GGMLType.Q4_K: GGMLType.Q5_0,
    GGMLType.Q5_K: GGMLType.Q5_1,
    GGMLType.Q6_K: GGMLType.Q8_0,
}

# Small or sensitive matrices that stay as they are: whole names, then parts of names.
KEPT_NAMES = {"position_embd.weight", "token_types.weight"}
KEPT_PARTS = (
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
    "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "time_mix_first.weight",
    "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight",
    "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight",
    "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
    "attn_rel_b.weight", ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd",
    ".patch_merger", "a.rvq.codebook", "mm.a.code_embd",
)  # fmt: skip

LAYER = re.compile(r"blk\.(\d+)\.")
WITH_70B = {"llama", "qwen2", "deci", "olmo"}  # architectures whose 80-layer models llama.cpp calls 70B


@dataclass(frozen=True)
class ModelFacts:
    """What the rules ask of a model."""

    arch: str
    n_layer: int
    n_expert: int
    is_70b: bool

    @classmethod
    def from_metadata(cls, metadata: dict) -> "ModelFacts":
        """Read them from a file's metadata; a file without an architecture has no layers and no experts."""
        arch = metadata.get("general.architecture", "")
        n_layer = metadata.get(f"{arch}.block_count", 0)
        grouped = metadata.get(f"{arch}.attention.head_count") != metadata.get(f"{arch}.attention.head_count_kv")
        is_70b = arch in WITH_70B and n_layer == 80 and (arch != "llama" or grouped)
        return cls(arch, n_layer, metadata.get(f"{arch}.expert_count", 0), is_70b)


def find_mixture(name: str) -> str:
    """The mixture's name as written in MIXTURES; GGUFError for one that is not supported."""
    upper = name.upper()
    upper = ALIASES.get(upper, upper)
    if upper not in MIXTURES:
        raise GGUFError(f"quantisation type {name!r} is not supported, expected one of {', '.join(MIXTURES)}")
    return upper


def choose_types(
    tensors: Iterable[tuple[str, GGMLType, tuple[int, ...]]], facts: ModelFacts, mixture: str, pure: bool = False
) -> dict[str, GGMLType]:
    """The new type of every (name, type, shape), in llama-quantize's order: by layer, then by name.

    pure: the main type for every tensor that may be quantised at all.
    """
    ordered = sorted(tensors, key=lambda tensor: _order(tensor[0]))
    rules = _Rules(facts, mixture, [name for name, _, _ in ordered])
    chosen = {}
    for name, type, shape in ordered:
        if not may_change(name, shape):
            chosen[name] = type
        elif rules.main in UNQUANTISED:
            chosen[name] = rules.main
        else:
            wanted = rules.main if pure else rules.type_for(name, shape)
            chosen[name] = _fitting(wanted, shape[-1])
    return chosen


def may_change(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor may be quantised: a matrix or a stack of them, but no norm, router or other small weight."""
    n_axes = max((i + 1 for i, n in enumerate(reversed(shape)) if n > 1), default=0)
    if n_axes < 2 or 0 in shape or not name.endswith("weight") or name in KEPT_NAMES:
        return False
    return not any(part in name for part in KEPT_PARTS)


def _order(name):
    match = LAYER.match(name)
    return (int(match[1]) if match else -1), name


def _fitting(type, n_columns):
    """The type, or a smaller-blocked one that divides the rows, or F16."""
    if n_columns % type.block_size:
        type = NARROW_FALLBACK.get(type, type)
    return type if n_columns % type.block_size == 0 else GGMLType.F16


class _Rules:
    """The rules of one mixture for one model. Stateful: some depend on how many such tensors came before."""

    def __init__(self, facts, mixture, names):
        self.facts = facts
        self.mixture = mixture
        self.main = MIXTURES[mixture][1]
        self.tied = "output.weight" not in names
        self.n_attn_v = sum(_is_attn_v(name) for name in names)
        self.i_attn_v = 0
        self.i_ffn_down = 0

    def type_for(self, name, shape):
        is_embedding = name in ("token_embd.weight", "per_layer_token_embd.weight")
        if name == "output.weight" or (self.tied and is_embedding):
            return self._output(shape)
        if self.mixture == "MXFP4_MOE":
            return self._mxfp4(name, shape)
        if is_embedding:
            return GGMLType.Q4_K if self.mixture in ("TQ1_0", "TQ2_0") else self.main
        if _is_attn_v(name):
            return self._attn_v()
        if "attn_k.weight" in name:
            return GGMLType.Q8_0 if self.facts.n_expert == 8 else self.main
        if "attn_q.weight" in name:
            return self.main
        if "attn_output.weight" in name:
            eight = self.facts.n_expert == 8 and self.facts.arch != "falcon"
            return GGMLType.Q5_K if eight and self.main == GGMLType.Q4_K else self.main
        if "ffn_down" in name and "ffn_up" not in name and "ffn_gate" not in name:
            return self._ffn_down(name)
        return self.main

    def _output(self, shape):
        narrow = shape[-1] % self.main.block_size != 0
        if self.mixture == "MXFP4_MOE" or self.facts.arch == "falcon" or narrow or self.main == GGMLType.Q8_0:
            return GGMLType.Q8_0
        return GGMLType.Q6_K

    def _mxfp4(self, name, shape):
        stacked = len(shape) > 2 and shape[-3] > 1
        is_expert = self.facts.arch != "bailingmoe3" or any(part in name for part in ("ffn_up", "ffn_gate", "ffn_down"))
        return GGMLType.MXFP4 if stacked and is_expert else GGMLType.Q8_0

    def _attn_v(self):
        i, type = self.i_attn_v, self.main
        self.i_attn_v += 1
        if self.facts.n_expert == 8:
            return GGMLType.Q8_0
        if self.mixture in ("Q4_K_M", "Q5_K_M") and _more_bits(i, self.n_attn_v):
            return GGMLType.Q6_K
        if self.mixture == "Q4_K_S" and i < 4:
            return GGMLType.Q5_K
        return GGMLType.Q5_K if self.facts.is_70b and type == GGMLType.Q4_K else type

    def _ffn_down(self, name):
        i, n = self.i_ffn_down, self.facts.n_layer
        self.i_ffn_down += 1
        if self.facts.n_expert > 1:  # experts of one layer may lie anywhere: the name tells the layer
            match = LAYER.match(name)
            if match is None or int(match[1]) >= n:
                raise GGUFError(f"tensor {name!r} names no layer below {n}")
            i = int(match[1])
        if self.mixture == "Q4_K_M" and self.facts.arch == "falcon":
            if i < n // 16:
                return GGMLType.Q6_K
            return GGMLType.Q5_K if _more_bits(i, n) else GGMLType.Q4_K
        if self.mixture in ("Q4_K_M", "Q5_K_M") and _more_bits(i, n):
            return GGMLType.Q6_K
        if self.mixture == "Q4_K_S" and self.facts.arch != "falcon" and i < n // 8:
            return GGMLType.Q5_K
        return self.main


def _is_attn_v(name):
    if name in ("output.weight", "token_embd.weight", "per_layer_token_embd.weight"):
        return False
    return any(part in name for part in ("attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight"))


def _more_bits(i, n):
    """The first and last eighth of the layers, and every third between."""
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2
