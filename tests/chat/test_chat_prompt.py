"""Which template serves a model, and the prompt it makes: BOS, tools, variables, warnings."""

import logging
from datetime import datetime

import pytest

from llamabox.chat import (
    ChatTemplate,
    PromptTemplate,
    TemplateError,
    build_prompt,
    load_named,
    named_templates,
    resolve_template,
)
from llamabox.chat.prompt import Variant

SEED_NAMES = (  # the names of llama-box's --chat-template, from its --help
    "chatglm3, chatglm4, chatml, command-r, deepseek, deepseek2, exaone3, falcon, falcon3, gemma, gigachat, granite, "
    "llama2, llama2-sys, llama2-sys-bos, llama2-sys-strip, llama3, llava, llava-mistral, megrez, minicpm, mistral-v1, "
    "mistral-v3, mistral-v3-tekken, mistral-v7, monarch, openchat, orion, phi3, rwkv-world, vicuna, vicuna-orca, zephyr"
).split(", ")
HELLO = [{"role": "user", "content": "hi"}]
CHATML_HELLO = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
TOOL = {"type": "function", "function": {"name": "f"}}


class FakeTokenizer:
    """The part of a tokenizer that templates ask for."""

    bos, eos = 1, 2

    def __init__(self, add_bos=False, add_eos=False):
        self.add_bos, self.add_eos = add_bos, add_eos

    def piece(self, token, special=True):
        return {1: b"<s>", 2: b"</s>"}[token]


def test_every_name_of_the_seed_has_a_template():
    assert list(named_templates()) == sorted(SEED_NAMES)
    for name in named_templates():
        assert "hi" in build_prompt(resolve_template(name, {}), HELLO)


def test_an_argument_is_a_name_or_jinja_text():
    metadata = {"tokenizer.chat_template": "model's"}
    assert resolve_template("zephyr", metadata).source == load_named("zephyr")
    assert build_prompt(resolve_template("{{ messages[0].content }}!", metadata), HELLO) == "hi!"
    with pytest.raises(TemplateError, match="found 'nothing', expected Jinja text or one of chatglm3, .*zephyr"):
        resolve_template("nothing", metadata)
    with pytest.raises(TemplateError, match="expected Jinja text or one of"):
        resolve_template("", metadata)


def test_a_file(tmp_path):
    path = tmp_path / "t.jinja"
    path.write_text("{{ messages[0].content }}é", encoding="utf-8")
    assert build_prompt(resolve_template(None, {}, file=path), HELLO) == "hié"
    path.write_bytes(b"\xff")
    with pytest.raises(TemplateError, match="cannot read"):
        resolve_template(None, {}, file=path)
    with pytest.raises(TemplateError, match="cannot read"):
        resolve_template(None, {}, file=tmp_path / "absent")
    with pytest.raises(TemplateError, match="both given"):
        resolve_template("chatml", {}, file=path)


def test_the_models_own_template():
    assert (
        build_prompt(resolve_template(None, {"tokenizer.chat_template": "own {{ messages[0].content }}"}), HELLO)
        == "own hi"
    )
    with pytest.raises(TemplateError, match="tokenizer.chat_template: found int"):
        resolve_template(None, {"tokenizer.chat_template": 5})
    with pytest.raises(TemplateError, match="does not compile"):
        resolve_template(None, {"tokenizer.chat_template": "{% if %}"})


@pytest.mark.parametrize("metadata", [{}, {"tokenizer.chat_template": ""}])
def test_no_template_means_chatml_and_one_warning(metadata, caplog):
    with caplog.at_level(logging.WARNING):
        template = resolve_template(None, metadata)
        assert build_prompt(template, HELLO) == build_prompt(template, HELLO) == CHATML_HELLO
    assert [record.getMessage() for record in caplog.records] == [
        "the model file has no chat template (tokenizer.chat_template); using chatml"
    ]


def test_the_template_for_tools(caplog):
    default, tools = "plain {{ messages[0].content }}", "{{ tools[0].function.name }} {{ messages[0].content }}"
    metadata = {"tokenizer.chat_template": default, "tokenizer.chat_template.tool_use": tools}
    template = resolve_template(None, metadata)
    assert template.source == default
    assert build_prompt(template, HELLO) == "plain hi"
    assert build_prompt(template, HELLO, tools=[]) == "plain hi"
    assert build_prompt(template, HELLO, tools=[TOOL]) == "f hi"
    only_tools = resolve_template(None, {"tokenizer.chat_template.tool_use": tools})
    assert build_prompt(only_tools, HELLO, tools=[TOOL]) == "f hi"
    with caplog.at_level(logging.WARNING):
        broken = resolve_template(None, {**metadata, "tokenizer.chat_template.tool_use": "{% if %}"})
        assert build_prompt(broken, HELLO, tools=[TOOL]) == "plain hi"
    assert any("left unused" in record.getMessage() for record in caplog.records)


def test_a_template_that_loops_over_tools_gets_an_empty_list():
    template = resolve_template("{{ messages[0].content }}{% for t in tools %}{{ t }}{% endfor %}", {})
    assert build_prompt(template, HELLO) == "hi"


@pytest.mark.parametrize(
    "source, add_bos, add_eos, expected",
    [
        ("{{ bos_token }}x{{ eos_token }}", False, False, "<s>x</s>"),
        ("{{ bos_token }}x{{ eos_token }}", True, False, "x</s>"),
        ("{{ bos_token }}x{{ eos_token }}", True, True, "x"),
        ("{{ bos_token }}{{ bos_token }}x", True, False, "<s>x"),
        ("x{{ '' }}", True, True, "x"),
    ],
)
def test_one_bos(source, add_bos, add_eos, expected):
    """The tokenizer adds what is left out here."""
    assert build_prompt(resolve_template(source, {}, FakeTokenizer(add_bos, add_eos)), HELLO) == expected


def test_a_vocabulary_without_bos():
    tokenizer = FakeTokenizer(add_bos=True)
    tokenizer.bos = None
    assert build_prompt(resolve_template("[{{ bos_token }}]{{ messages[0].content }}", {}, tokenizer), HELLO) == "[]hi"


def test_variables_of_llama_cpp():
    template = resolve_template("{{ enable_thinking }} {{ date_string }} {{ datetime }} {{ strftime_now('%H') }}", {})
    now = datetime(2025, 2, 3, 4)
    assert build_prompt(template, HELLO, now=now) == "True 03 Feb 2025 Feb 03 2025 04"
    assert build_prompt(template, HELLO, now=now, extra={"enable_thinking": False, "date_string": "d"}).startswith(
        "False d "
    )


def test_add_generation_prompt():
    template = resolve_template("chatml", {})
    assert build_prompt(template, HELLO, add_generation_prompt=False) == "<|im_start|>user\nhi<|im_end|>\n"


def test_messages_take_the_form_the_template_knows():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert "user\na\nb<" in build_prompt(resolve_template("chatml", {}), [{"role": "user", "content": parts}])
    typed = "{% for m in messages %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}"
    assert build_prompt(resolve_template(typed, {}), HELLO) == "[hi]"
    refuse = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    assert (
        build_prompt(
            resolve_template(refuse + "{{ messages[0].content }}", {}), [{"role": "system", "content": "s"}, *HELLO]
        )
        == "s\nhi"
    )


def test_the_template_refuses():
    template = resolve_template("{{ raise_exception('roles must alternate') }}", {})
    with pytest.raises(TemplateError, match="refuses the conversation: roles must alternate"):
        build_prompt(template, HELLO)
    with pytest.raises(TemplateError, match=r"messages\[0\]"):
        build_prompt(resolve_template("chatml", {}), [{"content": "no role"}])


def test_llava_templates_of_the_seed():
    """Two names that llama.cpp does not have; the layout is llama-box's."""
    chat = [*HELLO, {"role": "assistant", "content": "yo"}, {"role": "user", "content": "<image>\nwhat"}]
    opening = (
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions.\n"
    )
    assert build_prompt(resolve_template("llava", {}), chat) == (
        opening + "USER:hi\nASSISTANT:yo</s>\nUSER:<image>\nwhat\nASSISTANT:"
    )
    assert build_prompt(resolve_template("llava-mistral", {}), chat) == (
        "USER:\nhi\nASSISTANT:\nyo</s>\n<image>\nUSER:\nwhat\nASSISTANT:\n"
    )
    assert build_prompt(resolve_template("falcon", {}), [{"role": "system", "content": "s"}, *HELLO]) == (
        "\ns\n\n\n\nUser: hi\n\n\n\nAssistant:"
    )


def test_thoughts_of_earlier_answers_are_preserved_unless_asked_otherwise():
    names = ("preserve_thinking", "clear_thinking", "truncate_history_thinking", "drop_thinking")
    prompt = PromptTemplate(Variant(ChatTemplate(" ".join(f"{{{{ {name} }}}}" for name in names)))).render
    messages = [{"role": "user", "content": "hi"}]
    assert prompt(messages) == "True False False False"
    assert prompt(messages, extra={"preserve_reasoning": False}) == "False True True True"
    assert prompt(messages, extra={"clear_thinking": True}) == "True True False False"


def test_reasoning_effort_is_given_under_both_names():
    prompt = PromptTemplate(Variant(ChatTemplate("{{ reasoning_effort }} {{ reasoning_strength }}"))).render
    assert prompt([{"role": "user", "content": "hi"}], extra={"reasoning_effort": "low"}) == "low low"
