"""Options -> the model they name, how to load it, and how to sample from it."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamabox.assets import tiny_chat_path
from llamabox.cli.compiling import show_compiling
from llamabox.cli.grammar import GRAMMAR
from llamabox.cli.offload import placement
from llamabox.cli.options import OptionError, Options
from llamabox.cli.placement import PLACED, thread_settings

if TYPE_CHECKING:
    from llamabox.api import Model

# The options about one model in one process: what `chat` and `complete` share with `serve`.
SAMPLING = (
    "samplers temperature top_k top_p min_p xtc_probability xtc_threshold typical_p repeat_last_n repeat_penalty "
    "presence_penalty frequency_penalty dry_multiplier dry_base dry_allowed_length dry_penalty_last_n "
    "dry_sequence_breakers top_n_sigma dynatemp_range dynatemp_exponent mirostat mirostat_eta mirostat_tau "
    "logit_bias seed"
).split()
ROPE = (
    "rope_scaling rope_scale rope_freq_base rope_freq_scale "
    "yarn_orig_ctx yarn_ext_factor yarn_attn_factor yarn_beta_fast yarn_beta_slow"
).split()
OTHERS = (
    "action verbosity log_colors model device gpu_layers main_gpu split_mode tensor_split kv_offload flash_attn "
    "override_kv ctx_size n_predict escape cache_type_k cache_type_v mlock mmap special "
    "backend lora control_vectors control_vector_layer_range load_mode check_tensors override_tensor cpu_moe n_cpu_moe "
    "n_cpu_ffn op_offload no_host hf_repo hf_file hf_token offline log_disable log_file log_jsonl log_prefix "
    "log_timestamps"
).split()
LOCAL = (*OTHERS, *SAMPLING, *GRAMMAR, *ROPE, *PLACED)

ONLY_IN_REQUESTS = ("min_keep",)  # fields of SamplingParams that no option sets, as in llama-server
OWN_VALUE = {"yarn_orig_ctx": 0, "yarn_ext_factor": -1.0}  # RoPE options -> the value that asks for the model's own


def model_path(options: Options) -> Path:
    """The file of -m or -hf, or the tiny chat model that ships with llamabox.

    Errors:  OptionError when -m names no file, or -hf no model
    """
    if options.given("hf_repo"):
        if options.given("model"):
            raise OptionError(f"{options.source('model')} and {options.source('hf_repo')}: found both, expected one")
        from llamabox.cli.hub import hub_model

        return hub_model(options)
    if options.given("hf_file"):
        raise OptionError(f"{options.source('hf_file')}: found no -hf, which names the repository")
    return file_of(options, "model") if options.given("model") else tiny_chat_path()


def file_of(options: Options, dest: str) -> Path:
    """The file that an option names. Errors: OptionError when there is none"""
    path = Path(getattr(options, dest))
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no regular file" if path.exists() else "no such file"
        raise OptionError(f"{options.source(dest)} {path}: found {found}, expected a GGUF file")
    return path


def load_from_options(options: Options) -> "Model":
    """Load the model that the options name, its context as -c says, at most that of its training."""
    path = model_path(options)
    show_compiling()

    from llamabox.api import load
    from llamabox.engine import effective_context

    model = load(path, n_ctx=options.ctx_size if options.ctx_size > 0 else None, **load_arguments(options))
    requested = options.ctx_size if options.given("ctx_size") else min(options.ctx_size, model.config.n_ctx_train)
    model.n_ctx = effective_context(requested, model.config.n_ctx_train, bool(rope_arguments(options)))
    return model


def load_arguments(options: Options) -> dict[str, Any]:
    """The options -> keyword arguments of llamabox.load, besides its path and n_ctx."""
    arguments = {
        "backend": options.backend,
        "cache_type_k": options.cache_type_k,
        "cache_type_v": options.cache_type_v,
        "mmap": options.mmap,
        "mlock": options.mlock,
        "overrides": options.override_kv,
        **rope_arguments(options),
        **adapter_arguments(options),
    }
    if (wanted := placement(options)) is not None:
        arguments["placement"] = wanted
    if options.check_tensors:
        arguments["check_tensors"] = True
    if any(options.given(dest) for dest in PLACED):
        arguments["threads"], arguments["threads_batch"] = thread_settings(options)
    return arguments


def adapter_arguments(options: Options) -> dict[str, Any]:
    """The LoRA and control vector options that were given -> keyword arguments of llamabox.load."""
    arguments: dict[str, Any] = {}
    for dest in ("lora", "control_vectors"):
        if options.given(dest):
            arguments[dest] = tuple(pair for pairs in getattr(options, dest) for pair in pairs)
    if options.given("control_vector_layer_range"):
        arguments["control_vector_layers"] = options.control_vector_layer_range
    return arguments


def rope_arguments(options: Options) -> dict[str, Any]:
    """The RoPE and YaRN options that were given -> fields of models.ModelOptions."""
    given = {name: getattr(options, name) for name in ROPE if options.given(name)}
    if "rope_scale" in given:
        given["rope_freq_scale"] = 1 / given.pop("rope_scale")
    return {name: value for name, value in given.items() if name not in OWN_VALUE or value != OWN_VALUE[name]}


def sampling_arguments(options: Options) -> dict[str, Any]:
    """The options -> the fields of engine.SamplingParams."""
    from llamabox.engine.request import SamplingParams

    names = [field.name for field in fields(SamplingParams) if field.name not in ONLY_IN_REQUESTS]
    return {name: getattr(options, name) for name in names}
