"""`llamabox serve`, and `llama-box`: options -> a running server."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llamabox.cli.access import access
from llamabox.cli.actions import do_action
from llamabox.cli.compiling import show_compiling
from llamabox.cli.devices import check_devices
from llamabox.cli.grammar import grammar_of
from llamabox.cli.logs import log_as_asked
from llamabox.cli.model import load_arguments, model_path, rope_arguments, sampling_arguments
from llamabox.cli.options import ALL_OPTIONS, OptionError, Options, parse_options
from llamabox.cli.placement import apply_affinity
from llamabox.cli.remarks import remark
from llamabox.cli.speculation import speculation_settings

if TYPE_CHECKING:
    from llamabox.server.settings import ServerSettings


def main(argv: Sequence[str], program: str = "llamabox serve") -> int:
    """Parse the options and serve until a signal ends it; returns the exit code."""
    options = parse_options(argv, os.environ)
    if options.action:
        return do_action(options.action, ALL_OPTIONS, f"{program} [options]")
    return run_serve(options)


def run_serve(options: Options) -> int:
    """Check what can be checked before a model is loaded, then serve."""
    log_as_asked(options, options.verbosity)
    check_devices(options)
    remark(options)
    apply_affinity(options)
    settings = server_settings(options)
    show_compiling()

    from llamabox.server.serve import serve

    return serve(settings)


def slot_folder(options: Options) -> str | None:
    """--slot-save-path. Errors: OptionError when it is no folder"""
    path = options.slot_save_path
    if path is not None and not os.path.isdir(path):
        raise OptionError(f"{options.source('slot_save_path')} {path}: found no such folder, expected one")
    return path


def template_kwargs(options: Options) -> dict[str, Any]:
    """Further variables of the template, from the flags that set some."""
    kwargs = dict(options.chat_template_kwargs)
    if options.reasoning_effort != "default":
        kwargs["reasoning_effort"] = options.reasoning_effort
    if options.reasoning_preserve is not None:
        kwargs["preserve_reasoning"] = options.reasoning_preserve
    return kwargs


def server_settings(options: Options) -> "ServerSettings":
    """The options -> what the server needs to know. Errors: OptionError when -m names no file."""
    path = model_path(options)

    from llamabox.engine.request import SamplingParams, SpeculativeParams
    from llamabox.server.chat.fields import ChatDefaults
    from llamabox.server.embedding import EmbeddingSettings
    from llamabox.server.endpoints import Endpoints
    from llamabox.server.requests import Defaults
    from llamabox.server.settings import ServerSettings

    return ServerSettings(
        path=str(path),
        defaults=Defaults(
            sampling=SamplingParams(**sampling_arguments(options)),
            n_predict=options.n_predict,
            grammar=grammar_of(options),
            special=options.special,
            ignore_eos=options.ignore_eos,
            stop=options.reverse_prompt,
            cache_prompt=options.cache_prompt,
            ping_s=options.sse_ping_interval,
            n_keep=options.keep,
            n_cache_reuse=options.cache_reuse,
            speculative=SpeculativeParams(options.draft_max, options.draft_min, options.draft_p_min),
            chat=ChatDefaults(
                template_kwargs=template_kwargs(options),
                enable_thinking=options.reasoning,
                reasoning_format=options.reasoning_format,
                reasoning_budget=options.reasoning_budget,
                reasoning_budget_message=options.reasoning_budget_message,
                prefill=options.prefill_assistant,
                parse=not options.skip_chat_parsing,
            ),
        ),
        alias=options.alias if options.alias is not None else options.hf_repo,
        load=load_arguments(options),
        host=options.host,
        port=options.port,
        reuse_port=options.reuse_port,
        api_prefix=options.api_prefix,
        announce=not options.log_jsonl,
        tags=options.tags,
        n_threads=options.threads_http,
        timeout_s=options.timeout,
        idle_s=options.conn_idle,
        keepalive_s=options.conn_keepalive,
        n_ctx=options.ctx_size,
        n_ctx_chosen=options.given("ctx_size"),
        n_parallel=options.parallel,
        n_batch=options.batch_size,
        n_ubatch=options.ubatch_size,
        continuous=options.cont_batching,
        kv_unified=options.kv_unified,
        kv_unified_per_slot=options.kv_unified_per_slot,
        context_shift=options.context_shift,
        slot_prompt_similarity=options.slot_prompt_similarity,
        tokens_per_second=options.tokens_per_second,
        lora_init_without_apply=options.lora_init_without_apply,
        rope_changed=bool(rope_arguments(options)),
        warmup=options.warmup,
        speculation=speculation_settings(options),
        chat_template=options.chat_template,
        chat_template_file=options.chat_template_file,
        access=access(options),
        endpoints=Endpoints(
            options.metrics, options.infill, options.spm_infill, options.props, options.slots, slot_folder(options)
        ),
        embeddings=EmbeddingSettings(options.embeddings, options.rerank, options.pooling, options.embd_normalize),
    )
