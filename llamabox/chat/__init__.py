"""Prompt formats: chat templates, the messages that go into them and the prompts that come out. No HTTP here."""

from llamabox.chat.deltas import ContentDelta, Delta, ReasoningDelta, ToolArguments, ToolCallStart
from llamabox.chat.errors import SchemaError, TemplateError
from llamabox.chat.formats.parser import ChatParser
from llamabox.chat.named import load_named, named_templates, resolve_template
from llamabox.chat.prepare import prepare_chat
from llamabox.chat.prompt import PromptTemplate, build_prompt
from llamabox.chat.request import ChatRequest, NamedTool, PreparedChat, ThinkingTags
from llamabox.chat.template import ChatTemplate

__all__ = [
    "ChatParser",
    "ChatRequest",
    "ChatTemplate",
    "ContentDelta",
    "Delta",
    "NamedTool",
    "PreparedChat",
    "PromptTemplate",
    "ReasoningDelta",
    "SchemaError",
    "TemplateError",
    "ThinkingTags",
    "ToolArguments",
    "ToolCallStart",
    "build_prompt",
    "load_named",
    "named_templates",
    "prepare_chat",
    "resolve_template",
]
