"""Settings -> a served model: open the file, choose the context, start the engine, find the chat template."""

import logging
import math
from pathlib import Path
from typing import Any

from llamabox import api
from llamabox.chat import resolve_template
from llamabox.chat.rerank import RerankPrompts
from llamabox.engine import Engine, EngineOptions, effective_context
from llamabox.engine.checking import check_sampling
from llamabox.models import ModelError
from llamabox.server.context import Served
from llamabox.server.drafting import speculation_options
from llamabox.server.embedding import Embeddings, embedding_pooling
from llamabox.server.settings import ServerSettings

log = logging.getLogger(__name__)


def load_served(settings: ServerSettings) -> Served:
    """The whole start-up: seconds for a large file.

    Errors:  GGUFError, ModelError, TokenizerError, TemplateError, RequestError for defaults that no request could use
    """
    n_ctx_seq = None
    if settings.n_ctx > 0:
        n_ctx_seq = settings.n_ctx if settings.kv_unified else settings.n_ctx // settings.n_parallel
    model = api.load(settings.path, n_ctx=n_ctx_seq, **settings.load)
    check_sampling(settings.defaults.sampling, model.config.n_vocab)
    template = chat_template(settings, model)
    embeddings = embedding_side(settings, model)
    n_ctx = total_context(settings, model.config.n_ctx_train)
    options = EngineOptions(
        n_ctx=n_ctx,
        n_parallel=settings.n_parallel,
        n_batch=settings.n_batch,
        n_ubatch=settings.n_ubatch,
        cache_type_k=settings.load.get("cache_type_k", "f16"),
        cache_type_v=settings.load.get("cache_type_v", "f16"),
        continuous=settings.continuous,
        lora_scales=model.lora_scales,
        kv_unified=settings.kv_unified,
        max_seq=longest_sequence(settings, model.config.n_ctx_train),
        context_shift=settings.context_shift,
        similarity=settings.slot_prompt_similarity,
    )
    speculation = speculation_options(settings.speculation, settings.defaults.speculative, model, options.n_seq)
    engine = Engine(model.model, model.tokenizer, options, speculation)
    if settings.lora_init_without_apply:
        engine.loras.set({})
    if settings.warmup:
        log.info("warming up; the first start after an installation compiles kernels, which takes up to a minute")
        engine.warm_up()
        if engine.generates and settings.embeddings.embeddings:
            engine.warm_up_embeddings()
    limit = request_limit(settings, engine)
    engine.start()
    return Served(
        alias=settings.alias if settings.alias is not None else Path(settings.path).stem,
        path=settings.path,
        engine=engine,
        tokenizer=model.tokenizer,
        template=template,
        n_ctx=options.n_seq,
        n_parallel=settings.n_parallel,
        meta=model_meta(model),
        loras=model.model.loras,
        loras_settable=settings.lora_init_without_apply,
        tags=settings.tags,
        tokens_per_second=limit,
        generates=engine.generates,
        embeddings=embeddings,
        devices=tuple(model.backends),
    )


def longest_sequence(settings: ServerSettings, n_ctx_train: int) -> int:
    """Most tokens of one request where it may use the whole context; 0: all of it."""
    limits = (settings.kv_unified_per_slot, 0 if settings.rope_changed else n_ctx_train)
    return min((limit for limit in limits if limit > 0), default=0)


def request_limit(settings: ServerSettings, engine: Engine) -> float | None:
    """Tokens a second that a request may get; None: no limit."""
    if settings.tokens_per_second >= 0 or not engine.generates:
        return float(settings.tokens_per_second) if settings.tokens_per_second > 0 else None
    speed = engine.measure_speed()
    log.info("limit of a request: %.1f tokens per second, the speed of one alone", speed)
    return speed


def embedding_side(settings: ServerSettings, model: api.Model) -> Embeddings:
    """What the embedding and rerank endpoints need."""
    loaded, asked = model.model, settings.embeddings
    if asked.pooling == "rank" and not loaded.has_classifier:
        raise ModelError(f"--pooling: found rank, but this {loaded.arch} model has no classifier")
    prompts = None if model.tokenizer is None else RerankPrompts(model.tokenizer, loaded.file.metadata)
    return Embeddings(asked, embedding_pooling(loaded, asked.pooling), loaded.has_classifier, prompts)


def total_context(settings: ServerSettings, n_ctx_train: int) -> int:
    """Tokens of all sequences together. Nobody is warned that a default he did not choose is more than the model's."""
    if not settings.n_ctx_chosen and settings.kv_unified and settings.kv_unified_per_slot > 0:
        return settings.kv_unified_per_slot * settings.n_parallel
    if not settings.n_ctx_chosen:
        return min(settings.n_ctx, n_ctx_train * settings.n_parallel)
    return effective_context(settings.n_ctx, n_ctx_train, settings.rope_changed, n_parallel=settings.n_parallel)


def chat_template(settings: ServerSettings, model: api.Model) -> Any:
    """The template to serve with; None for a file without a vocabulary, and for one that gives embeddings only."""
    if model.tokenizer is None or model.model.is_encoder:
        return None
    metadata = model.model.file.metadata
    return resolve_template(settings.chat_template, metadata, model.tokenizer, file=settings.chat_template_file)


def model_meta(model: api.Model) -> dict[str, Any]:
    """What /v1/models tells of the model."""
    tensors = model.model.file.tensors.values()
    return {
        "n_vocab": model.config.n_vocab,
        "n_ctx_train": model.config.n_ctx_train,
        "n_embd": model.config.n_embd,
        "n_params": sum(math.prod(tensor.shape) for tensor in tensors),
        "size": sum(tensor.data.nbytes for tensor in tensors),
    }
