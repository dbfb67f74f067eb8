"""For templates that know no tools: an instruction in the system message, and an answer that is one JSON object.

{"tool_call": {"name": ..., "arguments": {...}}}        when one call at a time is wanted
{"tool_calls": [{"name": ..., "arguments": {...}}]}
{"response": "text for the user"}
"""

import json
from collections.abc import Mapping, Sequence

from llamabox.chat.formats.base import Format
from llamabox.chat.formats.calls import attempt
from llamabox.chat.formats.json_calls import CallReader, Keys
from llamabox.chat.formats.json_text import read_text
from llamabox.chat.formats.lark import Lark, choice, sequence, text
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import Reader, Reading
from llamabox.chat.formats.tools import Tool, Tools
from llamabox.chat.messages import join_parts, tool_call

KEYS = Keys(id="id")
INSTRUCTION = (
    "You can call any of the following tools to satisfy the user's requests:\n\n{tools}\n\n"
    "Answer with one JSON object and nothing else: either {call} to call tools, "
    'or {{"response": "your reply"}} to reply to the user.'
)
ONE = '{"tool_call": {"name": "tool_name", "arguments": {"arg1": "some value"}}}'
SEVERAL = '{"tool_calls": [{"name": "tool_name", "arguments": {"arg1": "some value"}}]}'


def with_instruction(messages: Sequence[Mapping], tools: Sequence[Mapping], parallel: bool) -> list[Mapping]:
    """A conversation in the client's form, without tools: they are told of in its system message.

    Calls become the answers that they were, results the user's words.
    """
    listing = json.dumps(list(tools), ensure_ascii=False, indent=2)
    told = INSTRUCTION.format(tools=listing, call=SEVERAL if parallel else ONE)
    first = messages[0] if messages and isinstance(messages[0], Mapping) else {}
    if first.get("role") in ("system", "developer") and isinstance(first.get("content"), str):
        messages, told = messages[1:], f"{first['content']}\n\n{told}"
    result: list[Mapping] = [{"role": "system", "content": told}]
    results: list[str] = []  # of tools, which become one message together with what the user says next
    for i, message in enumerate(messages):
        role = message.get("role") if isinstance(message, Mapping) else None
        if role == "tool":
            results.append(_result(message, f"messages[{i}]"))
        elif role == "user" and results and isinstance(message.get("content"), str):
            result.append({"role": "user", "content": "\n\n".join([*results, message["content"]])})
            results = []
        else:
            result += [{"role": "user", "content": "\n\n".join(results)}] if results else []
            results = []
            result.append(_answer(message, parallel, f"messages[{i}]") if role == "assistant" else message)
    return [*result, {"role": "user", "content": "\n\n".join(results)}] if results else result


def _result(message: Mapping, where: str) -> str:
    content = message.get("content")
    text = join_parts(content, where) if isinstance(content, list) else content
    known = {key: message[key] for key in ("tool_call_id", "name") if message.get(key) is not None}
    return json.dumps({"tool_response": {**known, "content": text}}, ensure_ascii=False)


def _answer(message: Mapping, parallel: bool, where: str) -> Mapping:
    """An assistant's message with its calls written out."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return message
    objects = []
    for i, call in enumerate(calls):
        known = tool_call(call, True, f"{where}.tool_calls[{i}]")
        objects.append({**known["function"], **({"id": known["id"]} if "id" in known else {})})
    answer = {"tool_calls": objects} if parallel or len(objects) > 1 else {"tool_call": objects[0]}
    return {"role": "assistant", "content": json.dumps(answer, ensure_ascii=False)}


class Generic(Format):
    name = "generic"
    lazy = False

    def knows(self, source: str) -> bool:
        return False  # taken when a template describes no tools

    def read(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        if tools:
            space = yield from reader.spaces(None)
            if (yield from reader.char()) == "{":
                yield from attempt(reader, out, self._object(reader, out, tools), space)
            else:
                out.content(space)
        yield from super().read(reader, out, tools)

    def _object(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        yield from reader.expect("{")
        yield from reader.spaces()
        key = yield from reader.expect('"response"', '"tool_calls"', '"tool_call"')
        yield from reader.spaces()
        yield from reader.expect(":")
        yield from reader.spaces()
        if key == '"response"':
            yield from self._response(reader, out)
        elif key == '"tool_call"':
            yield from CallReader(reader, out, tools, KEYS).read()
        else:
            yield from self._list(reader, out, tools)
        yield from reader.spaces()
        yield from reader.expect("}")
        yield from reader.spaces()

    def _response(self, reader: Reader, out: Output) -> Reading:
        begun = False

        def emit(text: str) -> None:
            nonlocal begun
            begun = True
            out.content(text)

        try:
            yield from read_text(reader, emit)
        finally:
            if begun:
                reader.record()

    def _list(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        yield from reader.expect("[")
        mark = ","
        while mark == ",":
            yield from reader.spaces()
            yield from CallReader(reader, out, tools, KEYS).read()
            reader.record()
            yield from reader.spaces()
            mark = yield from reader.expect(",", "]")

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        call = lark.rule("call", choice(self._call(lark, tool) for tool in tools.tools))
        if not parallel:
            return sequence(text('{"tool_call": '), call, text("}"))
        return sequence(text('{"tool_calls": ['), call, f"({text(', ')} {call})*", text("]}"))

    def _call(self, lark: Lark, tool: Tool) -> str:
        start = '{"name": ' + json.dumps(tool.name, ensure_ascii=False) + ', "arguments": '
        return sequence(text(start), lark.arguments(tool), text("}"))

    def reply(self, lark: Lark) -> str:
        """The grammar's expression for an answer without a call."""
        return sequence(text('{"response": '), lark.schema({"type": "string"}), text("}"))
