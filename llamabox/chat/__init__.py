"""Prompt formats: chat templates, the messages that go into them and the prompts that come out. No HTTP here."""

from llamabox.chat.errors import TemplateError
from llamabox.chat.template import ChatTemplate

__all__ = ["ChatTemplate", "TemplateError"]
