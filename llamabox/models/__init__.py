"""Maths: one file per text architecture, found through one static table."""

from llamabox.models.adapters import AdapterSet, adapter_set
from llamabox.models.architectures import ARCHITECTURES
from llamabox.models.loading import LoadedModel, load_model
from llamabox.models.lora import Lora
from llamabox.models.metadata import ModelError, ModelOptions

__all__ = [
    "ARCHITECTURES",
    "AdapterSet",
    "LoadedModel",
    "Lora",
    "ModelError",
    "ModelOptions",
    "adapter_set",
    "load_model",
]
