"""From a checked body to the engine's requests: defaults filled in; a file a theme."""

from llamabox.server.requests.defaults import Defaults
from llamabox.server.requests.generation import generation_requests
from llamabox.server.requests.grammar import response_grammar

__all__ = ["Defaults", "generation_requests", "response_grammar"]
