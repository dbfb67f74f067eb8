"""The grammars with a vocabulary: where marks are control tokens, and where they are text."""

import pytest

from llamabox.chat import TemplateError
from llamabox.engine.constrain import Grammar
from llamabox.engine.constrain.compiling import grammar_lark
from llamabox.engine.constrain.matching import build_matcher
from llamabox.engine.constrain.vocabulary import Vocabulary
from tests.chat.formats.support import TOOLS, prepare, published, tool

BYTES = [bytes([i]) for i in range(256)]


def follows(lark: str, text: str, marks: tuple[str, ...], control: bool) -> bool:
    """Whether a text, in which these marks are tokens of their own, is a sentence; other characters are bytes."""
    pieces = [*BYTES, *(mark.encode() for mark in marks), b"<eos>"]
    special = range(256, 256 + len(marks)) if control else ()
    vocabulary = Vocabulary(pieces, special, [len(pieces) - 1])
    compiled = grammar_lark(Grammar("lark", lark), vocabulary.token_id, vocabulary.special_texts)
    matcher = build_matcher(compiled, vocabulary)
    ids: list[int] = []
    while text:
        mark = next((mark for mark in marks if text.startswith(mark)), None)
        ids += [256 + marks.index(mark)] if mark else text[0].encode()
        text = text[len(mark or text[0]) :]
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


@pytest.mark.parametrize("control", [True, False])
def test_marks_may_be_control_tokens(control):
    chat = prepare("mistralai-Ministral-3-14B-Reasoning-2512", TOOLS, tool_choice="required", parallel_tool_calls=False)
    lark, marks = chat.grammar.source, chat.preserved
    call = '[TOOL_CALLS]get_weather[ARGS]{"city": "Oslo"}'
    assert follows(lark, call, marks, control)
    assert follows(lark, f"[THINK]hm\n[/TH x[/THINK]{call}", marks, control)
    assert follows(lark, f"[THINK][/THINK]{call}", marks, control)
    for wrong in (f"[THINK]hm{call}", f"[THINK]a[/THINK]b[/THINK]{call}", f"[THINK]a[/THINK]b{call}", f"hm{call}"):
        assert not follows(lark, wrong, marks, control), wrong


@pytest.mark.parametrize("control", [True, False])
def test_texts_end_at_control_tokens_too(control):
    chat = prepare("GLM-4.6", TOOLS, tool_choice="required", parallel_tool_calls=False)
    call = "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>New\nYork</arg_value>\n</tool_call>"
    assert follows(chat.grammar.source, call, chat.preserved, control)
    assert follows(chat.grammar.source, f"<think>hm</think>\n{call}", chat.preserved, control)
    assert not follows(chat.grammar.source, call.replace("</arg_value>", ""), chat.preserved, control)


def test_a_schema_that_cannot_be_followed_is_the_requests_error():
    broken = tool("get", a={"type": "array", "items": {"$ref": "#/$defs/nothing"}})
    for template in ("Qwen-Qwen3-0.6B", "Qwen3-Coder"):
        with pytest.raises(TemplateError, match="JSON schema"):
            prepare(published(template), (broken,))
