"""<|python_tag|> and what follows it: code for an interpreter, when the request has one as a tool."""

import json

from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import MismatchError, Reader, Reading, Stops
from llamabox.chat.formats.tagged_calls import escaped
from llamabox.chat.formats.tools import Tool, Tools

PYTHON_TAG = "<|python_tag|>"
INTERPRETERS = ("python", "ipython", "code_interpreter")


def interpreter(tools: Tools) -> Tool | None:
    """The tool that runs code, by its name."""
    return next((tools.by_name[name] for name in INTERPRETERS if name in tools.by_name), None)


def read_code(reader: Reader, out: Output, tools: Tools) -> Reading:
    """Reads the rest of an answer as the code of a call."""
    tool = interpreter(tools)
    if tool is None:
        raise MismatchError
    key = next(iter((*tool.required, *tool.properties)), "code")
    out.start(tool.name)
    out.arguments(f'{{{json.dumps(key, ensure_ascii=False)}:"')
    yield from reader.until(Stops(()), lambda piece: out.arguments(escaped(piece)))
    out.arguments('"}')
