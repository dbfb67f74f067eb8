"""Chat requests with tools and thoughts over HTTP: what the engine is asked for, and what becomes of the model's text.

The engine says what a test puts into its mouth; the template is Qwen3's (Hermes calls, <think>).
"""

import json

import falcon.testing
import pytest
from server_fakes import FakeEngine, make_context
from tiny_server import QWEN3

from llamabox.engine import ThinkingBudget
from llamabox.server.app import create_app
from llamabox.server.chat.fields import ChatDefaults

CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "What is the weather in Oslo?"}


def tool(name, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": schema}}


TOOLS = [tool("get_weather", city={"type": "string"}), tool("get_time", zone={"type": "string"})]
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'


class Server:
    def __init__(self, **defaults):
        self.engine = FakeEngine(n_ctx=1 << 20)
        self.context = make_context(self.engine, template=QWEN3, chat=ChatDefaults(**defaults))
        self.client = falcon.testing.TestClient(create_app(self.context))

    def post(self, answer="", path=CHAT, **fields):
        self.engine.answer = answer
        return self.client.simulate_post(path, json={"messages": [USER], **fields})

    def choice(self, answer, **fields):
        reply = self.post(answer, **fields)
        assert reply.status_code == 200, reply.text
        return reply.json["choices"][0]

    def error(self, status, **fields):
        reply = self.post(**fields)
        assert reply.status_code == status, reply.text
        assert self.engine.generations == [] and self.context.admission.open == 0
        return reply.json["error"]

    @property
    def asked(self):
        return self.engine.generations[-1].request

    @property
    def prompt(self):
        return bytes(self.asked.prompt).decode()


@pytest.fixture
def server():
    return Server()


def test_a_call_is_taken_out_of_the_text(server):
    choice = server.choice(f"<think>\nHm.\n</think>\n\nLet me see.\n{CALL}", tools=TOOLS)
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["reasoning_content"].strip() == "Hm." and message["content"].strip() == "Let me see."
    [call] = message["tool_calls"]
    assert call["type"] == "function" and call["function"]["name"] == "get_weather" and call["id"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Oslo"}
    assert "get_time" in server.prompt


def test_a_stream_gives_the_same_call_in_pieces(server):
    reply = server.post(CALL, tools=TOOLS, stream=True)
    *events, done = [line[6:] for line in reply.text.split("\n\n") if line]
    assert done == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events]
    pieces = [piece for choice in choices for piece in choice["delta"].get("tool_calls", [])]
    assert [piece["function"].get("name") for piece in pieces if "id" in piece] == ["get_weather"]
    assert json.loads("".join(piece["function"]["arguments"] for piece in pieces)) == {"city": "Oslo"}
    assert choices[0]["delta"]["role"] == "assistant" and choices[-1]["finish_reason"] == "tool_calls"
    assert all(not choice["delta"].get("content") for choice in choices)


def test_the_choice_decides_what_constrains_the_answer(server):
    server.post(tools=TOOLS)
    assert server.asked.grammar.triggers != ()
    server.post(tools=TOOLS, tool_choice="required")
    assert server.asked.grammar.triggers == ()
    assert "get_weather" in server.asked.grammar.source and "get_time" in server.asked.grammar.source
    server.post(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_time"}})
    assert server.asked.grammar.triggers == () and "get_weather" not in server.asked.grammar.source
    server.post(tools=TOOLS, tool_choice="none")
    assert server.asked.grammar is None
    server.post()
    assert server.asked.grammar is None


def test_parallel_tool_calls_reach_the_grammar(server):
    sources = []
    for parallel in (True, False):
        server.post(tools=TOOLS, tool_choice="required", parallel_tool_calls=parallel)
        sources.append(server.asked.grammar.source)
    assert sources[0] != sources[1]


def test_allowed_tools_are_all_that_the_model_sees(server):
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "get_time"}}]}
    server.post(tools=TOOLS, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert "get_time" in server.prompt and "get_weather" not in server.prompt


def test_with_choice_none_a_call_is_text(server):
    choice = server.choice(CALL, tools=TOOLS, tool_choice="none")
    assert choice["message"] == {"role": "assistant", "content": CALL} and choice["finish_reason"] == "stop"


MALFORMED = [
    "<tool_call>",
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": ',
    '<tool_call>\n{"name": 5}\n</tool_call>',
    "<tool_call>not JSON</tool_call>",
    '<tool_call>{"name": "unknown", "arguments": "x"}</tool_call>',
    "</tool_call></think><think>",
    '<tool_call>\n{"name": "get_weather", "arguments": [1, 2]}',
    "<tool_call>" * 50,
    "[" * 5000,
]


@pytest.mark.parametrize("answer", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_malformed_output_is_no_error(server, answer, choice):
    message = server.choice(answer, tools=TOOLS, tool_choice=choice)["message"]
    assert message["role"] == "assistant" and (
        message["content"] or message["tool_calls"] or message["reasoning_content"]
    )
    streamed = server.post(answer, tools=TOOLS, tool_choice=choice, stream=True)
    assert streamed.text.endswith("data: [DONE]\n\n") and "error" not in streamed.text


def test_each_choice_of_several_is_parsed(server):
    choices = server.post(CALL, tools=TOOLS, n=2).json["choices"]
    assert [len(choice["message"]["tool_calls"]) for choice in choices] == [1, 1]
    assert choices[0]["message"]["tool_calls"][0]["id"] != choices[1]["message"]["tool_calls"][0]["id"]


def test_stops_of_the_request_are_kept(server):
    server.post(tools=TOOLS, stop=["END"])
    assert "END" in server.asked.stop


THOUGHT = "<think>\nHm.\n</think>\n\nYes."


def test_reasoning_format(server):
    message = server.choice(THOUGHT)["message"]
    assert (message["reasoning_content"].strip(), message["content"].strip()) == ("Hm.", "Yes.")
    message = server.choice(THOUGHT, reasoning_format="none")["message"]
    assert "<think>" in message["content"] and "reasoning_content" not in message
    message = Server(reasoning_format="none").choice(THOUGHT)["message"]
    assert "<think>" in message["content"]


def test_parse_tool_calls_false_leaves_calls_in_the_text(server):
    message = server.choice(f"<think>\nHm.\n</think>\n\n{CALL}", tools=TOOLS, parse_tool_calls=False)["message"]
    assert message["content"].strip() == CALL and message["reasoning_content"].strip() == "Hm."
    assert "tool_calls" not in message and "get_weather" in server.prompt


def test_without_parsing_all_is_content():
    server = Server(parse=False)
    message = server.choice(f"{THOUGHT}\n{CALL}", tools=TOOLS)["message"]
    assert message == {"role": "assistant", "content": f"{THOUGHT}\n{CALL}"}
    assert server.asked.grammar is None and "get_weather" in server.prompt
    server.engine.generations.clear()
    error = server.error(501, tools=TOOLS, tool_choice="required")
    assert error["param"] == "tool_choice" and "--skip-chat-parsing" in error["message"]


def test_enable_thinking_and_effort_reach_the_template(server):
    server.post(chat_template_kwargs={"enable_thinking": False})
    assert server.prompt.endswith("<think>\n\n</think>\n\n")
    server.post()
    assert server.prompt.endswith("<|im_start|>assistant\n")
    server.post(reasoning_effort="none")
    assert server.prompt.endswith("<think>\n\n</think>\n\n")
    off = Server(enable_thinking=False)
    off.post()
    assert off.prompt.endswith("<think>\n\n</think>\n\n")
    off.post(chat_template_kwargs={"enable_thinking": True})
    assert off.prompt.endswith("<|im_start|>assistant\n")


def test_thoughts_are_followed_so_that_no_call_begins_in_them(server):
    server.post(tools=TOOLS)
    asked = server.asked
    assert asked.grammar.triggers and asked.reasoning_budget.n_tokens > 2**60
    server.post(tools=TOOLS, tool_choice="required")
    assert not server.asked.grammar.triggers and server.asked.reasoning_budget is None


def test_the_thinking_budget_reaches_the_engine(server):
    server.post()
    assert server.asked.reasoning_budget is None
    server.post(thinking_budget_tokens=5, reasoning_budget_message="Enough.")
    budget = server.asked.reasoning_budget
    assert isinstance(budget, ThinkingBudget) and not budget.open
    assert (budget.start.strip(), budget.end.strip()) == ("<think>", "</think>")
    assert (budget.n_tokens, budget.message) == (5, "Enough.")
    always = Server(reasoning_budget=0)
    always.post()
    assert always.asked.reasoning_budget.n_tokens == 0


def test_a_last_assistant_message_is_continued_unless_the_server_says_no(server):
    messages = [USER, {"role": "assistant", "content": "It is"}]
    server.post(messages=messages)
    assert server.prompt.endswith("It is")
    server.post(messages=messages, continue_final_message=True, add_generation_prompt=False)
    assert server.prompt.endswith("It is")
    whole = Server(prefill=False)
    whole.post(messages=messages)
    assert whole.prompt.endswith("<|im_end|>\n<|im_start|>assistant\n")
    whole.post(messages=messages, add_generation_prompt=False)
    assert whole.prompt.endswith("It is<|im_end|>\n")


def test_what_was_begun_comes_back_as_in_llama_server(server):
    messages = [USER, {"role": "assistant", "content": [{"type": "text", "text": "It is"}]}]
    explicit = {"continue_final_message": True, "add_generation_prompt": False}

    def streamed(**fields):
        lines = server.post(" cold.", messages=messages, stream=True, **fields).text.split("\n\n")
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)

    assert server.choice(" cold.", messages=messages)["message"]["content"] == "It is cold."
    assert server.choice(" cold.", messages=messages, **explicit)["message"]["content"] == "It is cold."
    assert streamed() == "It is cold."
    assert streamed(**explicit) == streamed(echo=False) == " cold."
    thoughts = [USER, {"role": "assistant", "content": "", "reasoning_content": "Let me "}]
    message = server.choice("see.\n</think>\n\nYes.", messages=thoughts)["message"]
    assert message["reasoning_content"].strip() == "Let me see." and message["content"].strip() == "Yes."


def test_results_of_tools_are_fed_back(server):
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "-3 degrees"}]},
    ]
    server.post(messages=messages, tools=TOOLS)
    assert '{"name": "get_weather", "arguments": {"city": "Oslo"}}' in server.prompt
    assert "<tool_response>\n-3 degrees\n</tool_response>" in server.prompt


def test_apply_template_and_input_tokens_tell_of_the_prompt(server):
    fields = {"tools": TOOLS, "chat_template_kwargs": {"enable_thinking": False}}
    usage = server.post("x", **fields).json["usage"]
    prompt = server.prompt
    assert server.post(path="/apply-template", **fields).json == {"prompt": prompt}
    for path in ("/v1/chat/completions/input_tokens", "/chat/completions/input_tokens"):
        count = server.post(path=path, **fields).json
        assert count == {"object": "response.input_tokens", "input_tokens": usage["prompt_tokens"]}
    assert len(server.engine.generations) == 1
    bare = server.post(path="/apply-template", messages=[USER], add_generation_prompt=False).json["prompt"]
    assert bare.endswith("<|im_end|>\n")


@pytest.mark.parametrize("path", [CHAT, "/chat/completions", "/apply-template", "/v1/chat/completions/input_tokens"])
def test_every_path_checks_the_conversation(path, server):
    assert server.post("x", path=path).status_code == 200
    server.engine.generations.clear()
    assert server.error(400, path=path, messages=[{"role": "boss", "content": "x"}])["param"] == "messages[0].role"
    assert server.error(400, path=path, chat_template="{{ x }}")["param"] == "chat_template"
    assert server.error(400, path=path, tools=[{}])["param"] == "tools[0]"


def test_what_does_not_change_an_answer_is_let_through(server):
    harmless = {"user": "me", "safety_identifier": "x", "store": True, "metadata": {"a": "b"}, "service_tier": "auto"}
    harmless |= {"prediction": {"type": "content", "content": "Yes."}, "prompt_cache_key": "k", "model": "any"}
    plain, full = server.choice("Yes."), server.choice("Yes.", **harmless)
    assert plain == full


def test_tools_have_a_grammar_of_their_own(server):
    assert server.error(400, tools=TOOLS, grammar="root ::= x")["param"] == "grammar"


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"type": 5}, {"$ref": "#/x"}])
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_schema_that_cannot_be_followed_is_named(server, schema, choice):
    assert server.error(400, tools=[tool("f", a=schema)], tool_choice=choice)["param"] == "tools"


def test_what_the_template_refuses_is_a_400():
    engine = FakeEngine()
    context = make_context(engine, template="{{ raise_exception('only one message, please') }}")
    client = falcon.testing.TestClient(create_app(context))
    reply = client.simulate_post(CHAT, json={"messages": [USER]})
    assert reply.status_code == 400 and "only one message, please" in reply.json["error"]["message"]


def test_images_are_refused_by_name(server):
    part = {"type": "image_url", "image_url": {"url": "data:"}}
    assert "--mmproj" in server.error(501, messages=[{"role": "user", "content": [part]}])["message"]
