"""Prompt formats: chat templates, the messages that go into them and the prompts that come out. No HTTP here."""

from llamabox.chat.errors import TemplateError
from llamabox.chat.named import load_named, named_templates, resolve_template
from llamabox.chat.prompt import PromptTemplate, build_prompt
from llamabox.chat.template import ChatTemplate

__all__ = [
    "ChatTemplate",
    "PromptTemplate",
    "TemplateError",
    "build_prompt",
    "load_named",
    "named_templates",
    "resolve_template",
]
