"""Settings of speculative decoding -> the engine's options, with the draft model loaded and compared with the model."""

import logging
from dataclasses import asdict
from pathlib import Path

from llamabox import api
from llamabox.engine import RequestError, SpeculationOptions, SpeculativeParams, check_vocabulary
from llamabox.server.settings import SpeculationSettings

log = logging.getLogger(__name__)


def speculation_options(
    settings: SpeculationSettings | None, bounds: SpeculativeParams, target: api.Model, n_ctx: int
) -> SpeculationOptions | None:
    """bounds: of drafts, all of them given; n_ctx: tokens of one sequence.

    Errors:  GGUFError, ModelError, TokenizerError, RequestError for a draft model that cannot be used
    """
    if settings is None:
        return None
    if target.model.is_encoder:
        raise RequestError(f"speculative decoding: {target.model.arch} gives embeddings and no text")
    draft = None if settings.path is None else _load_draft(settings, target, n_ctx)
    return SpeculationOptions(
        **asdict(bounds),
        model=None if draft is None else draft.model,
        cache_type_k=settings.load.get("cache_type_k", "f16"),
        cache_type_v=settings.load.get("cache_type_v", "f16"),
        ngram_min=settings.ngram_min,
        static=None if settings.static is None else Path(settings.static),
        dynamic=None if settings.dynamic is None else Path(settings.dynamic),
    )


def _load_draft(settings: SpeculationSettings, target: api.Model, n_ctx: int) -> api.Model:
    """On the target's backends, whose threads run one of the two at a time."""
    assert settings.path is not None
    draft = api.load(settings.path, n_ctx=n_ctx, **{**settings.load, "backend": target.backends})
    if draft.model.is_encoder or not draft.model.causal:
        raise RequestError(f"draft model {settings.path}: {draft.model.arch} gives embeddings and no text")
    check_vocabulary(target, draft)
    log.info("draft model: %s", settings.path)
    return draft
