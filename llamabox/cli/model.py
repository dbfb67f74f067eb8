"""Options -> the model they name, its load arguments and its sampling arguments."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamabox.assets import tiny_chat_path
from llamabox.cli.options import OptionError, Options

if TYPE_CHECKING:
    from llamabox.api import Model

# dest of an option -> the value that means "the model's own"
ROPE = {
    "rope_scaling": None,
    "rope_freq_base": None,
    "rope_freq_scale": None,
    "yarn_orig_ctx": 0,
    "yarn_ext_factor": -1.0,
    "yarn_attn_factor": None,
    "yarn_beta_fast": None,
    "yarn_beta_slow": None,
}


def model_path(options: Options) -> Path:
    """The file of -m, or the tiny chat model that ships with llamabox.

    Errors:  OptionError when -m names no file
    """
    if not options.given("model"):
        return tiny_chat_path()
    path = Path(options.model)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise OptionError(f"{options.source('model')} {options.model}: found {found}, expected a GGUF file")
    return path


def load_from_options(options: Options) -> "Model":
    """Load the model that the options name, as they say."""
    from llamabox.api import load

    return load(model_path(options), **load_arguments(options))


def load_arguments(options: Options) -> dict[str, Any]:
    """The options -> keyword arguments of llamabox.load."""
    arguments = {
        "backend": options.backend,
        "cache_type_k": options.cache_type_k,
        "cache_type_v": options.cache_type_v,
        "mmap": options.mmap,
        "mlock": options.mlock,
        "overrides": options.override_kv,
    }
    if options.threads > 0:
        arguments["threads"] = options.threads
    if options.ctx_size > 0:
        arguments["n_ctx"] = options.ctx_size
    return arguments | rope_arguments(options)


def rope_arguments(options: Options) -> dict[str, Any]:
    """The RoPE and YaRN options that change something -> fields of models.ModelOptions."""
    given = {name: getattr(options, name) for name in ROPE if options.given(name)}
    changed = {name: value for name, value in given.items() if value != ROPE[name]}
    if options.given("rope_scale"):
        changed["rope_freq_scale"] = 1 / options.rope_scale
    return changed


def sampling_arguments(options: Options) -> dict[str, Any]:
    """The options -> the fields of engine.SamplingParams."""
    from llamabox.engine.request import SamplingParams

    return {field.name: getattr(options, field.name) for field in fields(SamplingParams)}
