"""The engine: tokens and sequences. `Engine.submit(GenerationRequest)` gives a `Generation`."""

from llamabox.engine.constrain import Grammar, ThinkingBudget, Trigger, json_schema_lark
from llamabox.engine.embedding import Embedding
from llamabox.engine.engine import Engine
from llamabox.engine.generate import generate
from llamabox.engine.generation import Generation
from llamabox.engine.options import EngineOptions, effective_context
from llamabox.engine.request import (
    ContextLengthError,
    EmbeddingRequest,
    EngineBusyError,
    FinishEvent,
    GenerationError,
    GenerationRequest,
    RequestError,
    SamplingParams,
    SpeculativeParams,
    TextEvent,
    Timings,
)
from llamabox.engine.status import EngineStatus, SequenceStatus

__all__ = [
    "ContextLengthError",
    "Embedding",
    "EmbeddingRequest",
    "Engine",
    "EngineBusyError",
    "EngineOptions",
    "EngineStatus",
    "FinishEvent",
    "Generation",
    "GenerationError",
    "GenerationRequest",
    "Grammar",
    "RequestError",
    "SamplingParams",
    "SequenceStatus",
    "SpeculativeParams",
    "TextEvent",
    "ThinkingBudget",
    "Timings",
    "Trigger",
    "effective_context",
    "generate",
    "json_schema_lark",
]
