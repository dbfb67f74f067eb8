"""convert_folder: a Hugging Face folder -> a GGUF file, one tensor in memory at a time."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llamabox.gguf import GGMLType, GGUFWriter, quantize
from llamabox.gguf.convert.architectures import ARCHITECTURES, Architecture
from llamabox.gguf.convert.checkpoint import Checkpoint, ConvertError, Stored
from llamabox.gguf.convert.names import gguf_name
from llamabox.gguf.convert.vocab import vocab_keys

TYPES = {"f32": GGMLType.F32, "f16": GGMLType.F16, "bf16": GGMLType.BF16, "q8_0": GGMLType.Q8_0}
FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7}  # general.file_type
STORED_TYPES = {"F64": "f32", "F32": "f32", "F16": "f16", "BF16": "bf16"}
KEPT_F32 = ("ffn_gate_inp", "token_types", "position_embd")  # small, and read without a kernel for the rest
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """One GGUF tensor: the checkpoint's tensors it is made of (several: experts, stacked), its shape and type."""

    name: str
    sources: tuple[Stored, ...]
    shape: tuple[int, ...]
    type: GGMLType


def convert_folder(
    folder: str | Path, out: str | Path, type: str = "auto", progress: Callable[[str], None] | None = None
) -> None:
    """Write the model in `folder` as `out`.

    type      of the matrices: "f32", "f16", "bf16", "q8_0", or "auto": the checkpoint's own; vectors stay f32
    progress  called with each tensor's name
    Errors:   ConvertError, GGUFError; `out` appears whole or not at all
    """
    checkpoint = Checkpoint(folder)
    rules = architecture_of(checkpoint)
    try:
        keys = rules.keys(checkpoint)
    except KeyError as error:
        raise ConvertError(f"{checkpoint.folder / 'config.json'}: the key {error} is missing") from None
    wanted = type if type != "auto" else most_common_type(checkpoint)
    if wanted not in TYPES:
        raise ConvertError(f"type: found {type!r}, expected auto, {', '.join(TYPES)}")
    writer = GGUFWriter(out, rules.arch)
    writer.add("general.type", "model").add("general.name", checkpoint.folder.resolve().name)
    writer.add("general.file_type", FILE_TYPES[wanted])
    for key, value in keys.items():
        writer.add(f"{rules.arch}.{key}", value)
    for key, value in vocab_keys(checkpoint).items():
        writer.add(key, value)
    for name, values in rules.extra(checkpoint.config).items():
        writer.add_tensor(name, values)
    for planned in plan(checkpoint, rules, TYPES[wanted]):
        writer.add_tensor(planned.name, _maker(planned, rules, checkpoint.config), planned.type, planned.shape)
    writer.write(progress)


def architecture_of(checkpoint: Checkpoint) -> Architecture:
    name = checkpoint.architecture
    if name not in ARCHITECTURES:
        raise ConvertError(
            f"{checkpoint.folder / 'config.json'}: architecture {name}, expected one of {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]


def most_common_type(checkpoint: Checkpoint) -> str:
    dtypes = [stored.dtype for stored in checkpoint.tensors.values()]
    return STORED_TYPES[max(set(dtypes), key=dtypes.count)]


def plan(checkpoint: Checkpoint, rules: Architecture, wanted: GGMLType) -> list[Planned]:
    """Every tensor of the file. ConvertError for a name that the architecture does not have, or a missing expert."""
    sources: dict[str, dict[int, Stored]] = {}
    for name, stored in checkpoint.tensors.items():
        if name.removeprefix("bert.").startswith(rules.unused):
            log.debug("%s is not used by %s files", name, rules.arch)
            continue
        found = gguf_name(name, rules.top, rules.layer)
        if found is None:
            raise ConvertError(f"tensor {name} {stored.shape}: {checkpoint.architecture} is not known to have it")
        target, expert = found
        sources.setdefault(target, {})[0 if expert is None else expert] = stored
    return [_planned(name, parts, wanted) for name, parts in sorted(sources.items(), key=_file_order)]


def _file_order(item):
    parts = item[0].split(".")
    return (1, int(parts[1]), item[0]) if parts[0] == "blk" else (0, 0, item[0])


def _planned(name: str, parts: dict[int, Stored], wanted: GGMLType) -> Planned:
    if sorted(parts) != list(range(len(parts))):
        raise ConvertError(f"tensor {name}: found experts {sorted(parts)}, expected all of 0 to {max(parts)}")
    ordered = tuple(parts[i] for i in range(len(parts)))
    shape = ordered[0].shape
    if name.endswith("_exps.weight"):
        shape = (len(ordered), *shape)
    vector = len(shape) < 2 or any(part in name for part in KEPT_F32) or "norm" in name
    type = GGMLType.F32 if vector or shape[-1] % wanted.block_size else wanted
    return Planned(name, ordered, shape, type)


def _maker(planned: Planned, rules: Architecture, config: dict) -> Callable[[], np.ndarray]:
    """What the writer calls when it is this tensor's turn."""

    def make() -> np.ndarray:
        parts = [rules.change(planned.name, source.array(), config) for source in planned.sources]
        values = parts[0] if planned.shape == planned.sources[0].shape else np.stack(parts)
        if planned.type in (GGMLType.F32, GGMLType.F16):
            return values.astype(planned.type.dtype)
        return quantize(np.ascontiguousarray(values), planned.type)

    return make
