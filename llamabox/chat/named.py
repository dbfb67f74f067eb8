"""Which template a model is served with: the user's text, a template by name, the model file's own, or ChatML."""

import logging
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from llamabox.chat.errors import TemplateError
from llamabox.chat.prompt import PromptTemplate, Variant
from llamabox.chat.template import ChatTemplate

log = logging.getLogger(__name__)

TEMPLATE_KEY = "tokenizer.chat_template"
TOOL_USE_KEY = "tokenizer.chat_template.tool_use"
DEFAULT = "chatml"
JINJA_MARKS = ("{{", "{%", "{#")
MAX_FILE_BYTES = 2**20


@cache
def named_templates() -> tuple[str, ...]:
    """The names that `--chat-template` knows, sorted."""
    folder = files("llamabox.assets") / "templates"
    return tuple(
        sorted(entry.name.removesuffix(".jinja") for entry in folder.iterdir() if entry.name.endswith(".jinja"))
    )


def load_named(name: str) -> str:
    """The Jinja text of a named template. Raises TemplateError for an unknown name."""
    if name not in named_templates():
        raise TemplateError(
            f"--chat-template: found {name!r:.80}, expected Jinja text or one of {', '.join(named_templates())}"
        )
    return (files("llamabox.assets") / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def resolve_template(
    argument: str | None, metadata: Mapping[str, object], tokenizer=None, file: str | Path | None = None
) -> PromptTemplate:
    """The template to serve a model with.

    argument   a name or Jinja text (`--chat-template`), None for the model's own
    metadata   of the model file: `tokenizer.chat_template` and, for requests with tools,
    `tokenizer.chat_template.tool_use`
    tokenizer  gives the texts of BOS and EOS and whether it adds them
    file       a file with Jinja text (`--chat-template-file`), instead of an argument
    Without any of them ChatML is used and one warning logged. Raises TemplateError.
    """
    bos, eos = _token_text(tokenizer, "bos"), _token_text(tokenizer, "eos")
    default, tool_use = _sources(argument, metadata, file)
    return PromptTemplate(
        Variant(ChatTemplate(default, bos, eos)),
        None if tool_use is None else _optional_variant(tool_use, bos, eos),
        add_bos=tokenizer is not None and tokenizer.add_bos,
        add_eos=tokenizer is not None and tokenizer.add_eos,
    )


def _sources(argument: str | None, metadata: Mapping[str, object], file: str | Path | None) -> tuple[str, str | None]:
    """The texts of the default template and of that for tools, if there is one."""
    if argument is not None and file is not None:
        raise TemplateError("--chat-template and --chat-template-file are both given, expected one of them")
    if file is not None:
        return _read(Path(file)), None
    if argument is not None:
        return (argument if any(mark in argument for mark in JINJA_MARKS) else load_named(argument)), None
    default, tool_use = _text(metadata, TEMPLATE_KEY), _text(metadata, TOOL_USE_KEY)
    if default is None and tool_use is not None:
        return tool_use, None
    if default is None:
        log.warning("the model file has no chat template (%s); using %s", TEMPLATE_KEY, DEFAULT)
        return load_named(DEFAULT), None
    return default, tool_use


def _text(metadata: Mapping[str, object], key: str) -> str | None:
    value = metadata.get(key)
    if value is not None and not isinstance(value, str):
        raise TemplateError(f"{key}: found {type(value).__name__}, expected text")
    return value if value else None


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TemplateError(f"--chat-template-file: {path} has more than {MAX_FILE_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"--chat-template-file: cannot read {path}: {error}") from None


def _optional_variant(source: str, bos: str, eos: str) -> Variant | None:
    try:
        return Variant(ChatTemplate(source, bos, eos))
    except TemplateError as error:
        log.warning("%s is left unused: %s", TOOL_USE_KEY, error)
        return None


def _token_text(tokenizer, name: str) -> str:
    token = None if tokenizer is None else getattr(tokenizer, name)
    return "" if token is None else tokenizer.piece(token, special=True).decode("utf-8", "replace")
