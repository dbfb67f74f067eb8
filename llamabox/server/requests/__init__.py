"""From a checked body to the engine's requests: defaults filled in; a file a theme."""

from llamabox.server.requests.defaults import Defaults
from llamabox.server.requests.generation import generation_requests

__all__ = ["Defaults", "generation_requests"]
