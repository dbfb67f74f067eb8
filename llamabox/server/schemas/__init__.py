"""The fields of each request that we read, with types and bounds; a file a theme. A field that is null is as if it were
absent. Every body is exported here."""

from llamabox.server.schemas.chat import ChatBody
from llamabox.server.schemas.completions import CompletionBody, CompletionsBody, InfillBody, NativeFields
from llamabox.server.schemas.embeddings import EmbeddingsBody, NativeEmbeddingBody, RerankBody
from llamabox.server.schemas.sampling import LoraScale, OpenAIFields, SamplingFields, StreamOptions
from llamabox.server.schemas.slots import SlotFileBody
from llamabox.server.schemas.tokens import DetokenizeBody, TokenizeBody

__all__ = [
    "ChatBody",
    "CompletionBody",
    "CompletionsBody",
    "DetokenizeBody",
    "InfillBody",
    "NativeFields",
    "EmbeddingsBody",
    "LoraScale",
    "NativeEmbeddingBody",
    "OpenAIFields",
    "RerankBody",
    "SamplingFields",
    "SlotFileBody",
    "StreamOptions",
    "TokenizeBody",
]
