"""The shipped tiny chat model: the file itself, a sample of its held-out cases, and llama.cpp's greedy tokens."""

import importlib
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.assets import tiny_chat_path
from llamabox.chat import ChatTemplate
from llamabox.gguf import GGMLType, open_gguf

ROOT = Path(__file__).parents[2]
CONFORMANCE = ROOT / "conformance" / "tiny_chat"
QUESTIONS = json.loads((CONFORMANCE / "questions.json").read_text())["questions"]
CALLS = json.loads((CONFORMANCE / "tool_calls.json").read_text())
GREEDY = json.loads((CONFORMANCE / "greedy.json").read_text())


def load_tool(name):
    """A module of tools/tiny_chat, whose files import each other by plain names."""
    folder = str(ROOT / "tools" / "tiny_chat")
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
        for added in set(sys.modules) - before:
            if (getattr(sys.modules[added], "__file__", None) or "").startswith(folder):
                del sys.modules[added]


@pytest.fixture(scope="module")
def model():
    loaded = llamabox.load(tiny_chat_path())
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def ask(model):
    """A function (question, tools) -> the greedy answer."""
    template = ChatTemplate(open_gguf(tiny_chat_path()).metadata["tokenizer.chat_template"])

    def answer(question, tools=None):
        messages = [{"role": "user", "content": question}]
        prompt = template.render(messages, tools=tools, add_generation_prompt=True)
        return "".join(model.generate(prompt, temperature=0.0, n_predict=160))

    return answer


def test_file():
    file = open_gguf(tiny_chat_path())
    assert tiny_chat_path().stat().st_size <= 4 * 10**6
    assert file.metadata["general.architecture"] == "llama"
    assert file.metadata["general.license"] == "mit"
    assert file.metadata["tokenizer.ggml.eos_token_id"] == file.metadata["tokenizer.ggml.tokens"].index("<|im_end|>")
    types = {tensor.type for tensor in file.tensors.values() if len(tensor.shape) == 2}
    assert types == {GGMLType.Q8_0}


def test_every_byte_can_be_encoded(model):
    text = "".join(map(chr, (*range(256), 0x4E2D, 0x1F999)))
    assert model.tokenizer.decode(model.tokenizer.encode(text)) == text


@pytest.mark.parametrize("case", GREEDY["cases"], ids=lambda case: case["prompt"].split("user\n")[-1][:30])
def test_greedy_tokens_equal_llama_cpp(model, case):
    assert model.tokenizer.encode(case["prompt"], parse_special=True) == case["prompt_ids"]
    start, end = len(case["prompt_ids"]), next(iter(model.tokenizer.end_ids & {model.tokenizer.eos}))
    best = np.argmax(model.logits(case["prompt_ids"] + case["greedy_ids"])[start - 1 :], axis=1)
    assert best.tolist() == [*case["greedy_ids"], end]


def test_template_gives_the_prompts_that_llama_cpp_saw():
    template = ChatTemplate(open_gguf(tiny_chat_path()).metadata["tokenizer.chat_template"])
    prompts = {case["prompt"] for case in GREEDY["cases"]}
    for case in CALLS["cases"][::8]:
        messages = [{"role": "user", "content": case["prompt"]}]
        tools = CALLS["tool_sets"][case["tools"]]
        assert template.render(messages, tools=tools, add_generation_prompt=True) in prompts


def test_sample_of_questions(ask):
    right = load_tool("evaluate").answer_is_right
    results = {row["paraphrases"][1]: right(ask(row["paraphrases"][1]), row["id"], QUESTIONS) for row in QUESTIONS[::2]}
    assert sum(results.values()) >= 0.8 * len(results), [text for text, good in results.items() if not good]


def test_sample_of_tool_calls(ask):
    right = load_tool("evaluate").call_is_right
    cases = CALLS["cases"][1::3]
    results = {case["prompt"]: right(ask(case["prompt"], CALLS["tool_sets"][case["tools"]]), case) for case in cases}
    assert sum(results.values()) >= 0.9 * len(results), [text for text, good in results.items() if not good]


@pytest.mark.parametrize("case", CALLS["no_call"], ids=lambda case: case["prompt"])
def test_no_call_without_need(ask, case):
    tools = CALLS["tool_sets"][case["tools"]] if case["tools"] is not None else None
    assert "<tool_call>" not in ask(case["prompt"], tools)


def test_greets_and_says_that_it_is_tiny(ask):
    assert "Hello" in ask("Hello!")
    assert "tiny" in ask("Who are you?")


def test_story_has_three_sentences_about_its_hero(ask):
    story = ask("Tell me a story about a dragon.")
    assert story.count(".") == 3
    assert "dragon" in story


def test_uses_the_tool_result(model):
    template = ChatTemplate(open_gguf(tiny_chat_path()).metadata["tokenizer.chat_template"])
    call = {"function": {"name": "get_weather", "arguments": {"city": "Lisbon"}}}
    messages = [
        {"role": "user", "content": "What is the weather in Lisbon?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": '{"temperature": 21, "condition": "sunny"}'},
    ]
    prompt = template.render(messages, tools=CALLS["tool_sets"]["plain"], add_generation_prompt=True)
    answer = "".join(model.generate(prompt, temperature=0.0, n_predict=60))
    assert "21" in answer and "sunny" in answer


def test_training_text_has_no_held_out_case():
    corpus = load_tool("corpus").Corpus()
    texts = [text for row in QUESTIONS for text in row["paraphrases"]]
    assert all(corpus.held_out.is_question(variant) for text in texts for variant in (text, text.upper() + " ?!"))
    assert not corpus.held_out.is_question("What is llamabox?")
    assert corpus.held_out.is_argument("lisbon") and corpus.held_out.is_argument("37*12")
    rng = random.Random(3)
    for _ in range(2000):
        messages, _ = corpus.conversation(rng)
        for message in messages:
            if message["role"] == "user":
                assert not corpus.held_out.is_question(message["content"])
            for call in message.get("tool_calls", ()):
                assert not any(map(corpus.held_out.is_argument, call["function"]["arguments"].values()))
