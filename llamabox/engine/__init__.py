"""The engine: tokens and sequences. `Engine.submit(GenerationRequest)` gives a `Generation`."""

from llamabox.engine.constrain import Grammar, ThinkingBudget, Trigger
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
    PromptEvent,
    RequestError,
    SamplingParams,
    SpeculativeParams,
    TextEvent,
    Timings,
    TokenProbs,
)
from llamabox.engine.slot_state import SlotFileError, SlotLayout, SlotState, read_state, write_state
from llamabox.engine.speculation import SpeculationOptions, check_vocabulary
from llamabox.engine.status import EngineStatus, SequenceStatus, SlotStatus

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
    "PromptEvent",
    "RequestError",
    "SamplingParams",
    "SequenceStatus",
    "SlotFileError",
    "SlotLayout",
    "SlotState",
    "SlotStatus",
    "SpeculationOptions",
    "SpeculativeParams",
    "TextEvent",
    "ThinkingBudget",
    "Timings",
    "TokenProbs",
    "Trigger",
    "check_vocabulary",
    "effective_context",
    "generate",
    "read_state",
    "write_state",
]
