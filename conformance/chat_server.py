"""Chat requests against llama-server with the chat model that ships: writes conformance/results/chat_server.json.

    python conformance/chat_server.py --llama-cpp BIN_DIR

Each case is one request: to /apply-template (what the model would see), to /chat/completions/input_tokens (how much
that is), or to /chat/completions, greedily (the message, why it ended, how many tokens it has). Stored are the status
and those parts of the reply; tests/server/chat/test_chat_server_conformance.py sends the same requests to our server.
"""

import argparse
import json
import subprocess
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).parent
MODEL = HERE.parent / "llamabox" / "assets" / "tiny-chat.gguf"
RESULTS = HERE / "results" / "chat_server.json"

USER = {"role": "user", "content": "What is the weather in Oslo?"}
JOKE = {"role": "user", "content": "Tell me a joke."}
BEGUN = {"role": "assistant", "content": "Why did"}
CALL = {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call00001", "content": '{"temperature": -3, "condition": "sunny"}'}


def tool(name: str, about: str) -> dict:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}


TOOLS = [
    tool("get_weather", "Get the current weather for a city."),
    tool("get_time", "Get the current time in a city."),
]
TRIP = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}

CONVERSATIONS = {  # name -> a request without what decides how long the answer is
    "user": {"messages": [USER]},
    "system": {"messages": [{"role": "system", "content": "Be kind."}, USER]},
    "developer": {"messages": [{"role": "developer", "content": "Be kind."}, USER]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in ("Hello", "there")]}]},
    "tools": {"messages": [USER], "tools": TOOLS},
    "tools, none": {"messages": [USER], "tools": TOOLS, "tool_choice": "none"},
    "tools, required": {"messages": [JOKE], "tools": TOOLS, "tool_choice": "required"},
    "tools, one at a time": {"messages": [USER], "tools": TOOLS, "parallel_tool_calls": False},
    "result": {"messages": [USER, CALLING, RESULT], "tools": TOOLS},
    "prefill": {"messages": [JOKE, BEGUN]},
    "prefill, asked for": {"messages": [JOKE, BEGUN], "continue_final_message": True, "add_generation_prompt": False},
    "prefill, parts": {
        "messages": [JOKE, {**BEGUN, "content": [{"type": "text", "text": "Why"}, {"type": "text", "text": "did"}]}]
    },
    "prefill, tools": {"messages": [JOKE, BEGUN], "tools": TOOLS},
    "no generation prompt": {"messages": [USER], "add_generation_prompt": False},
    "schema": {"messages": [JOKE], "response_format": {"type": "json_schema", "json_schema": {"schema": TRIP}}},
    "json": {"messages": [JOKE], "json_schema": TRIP},
}
REFUSED = {
    "two assistants at the end": {"messages": [JOKE, BEGUN, BEGUN]},
    "both ways to go on": {"messages": [JOKE, BEGUN], "continue_final_message": True, "add_generation_prompt": True},
    "calls cannot be continued": {"messages": [USER, CALLING], "tools": TOOLS},
    "no messages": {},
    "messages are a text": {"messages": "hi"},
    "a message is a number": {"messages": [5]},
    "no role": {"messages": [{"content": "x"}]},
    "no content": {"messages": [{"role": "user"}]},
    "content is a number": {"messages": [{"role": "user", "content": 5}]},
    "an unknown part": {"messages": [{"role": "user", "content": [{"type": "song", "song": "x"}]}]},
    "an image": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
    "tools are a text": {"messages": [USER], "tools": "x"},
    "a tool without a function": {"messages": [USER], "tools": [{"type": "function"}]},
    "a tool of another type": {"messages": [USER], "tools": [{"type": "custom", "custom": {"name": "x"}}]},
    "an unknown choice": {"messages": [USER], "tools": TOOLS, "tool_choice": "always"},
    "a grammar beside tools": {"messages": [USER], "tools": TOOLS, "grammar": 'root ::= "x"'},
    "an unknown response_format": {"messages": [USER], "response_format": {"type": "sound"}},
    "thinking is a text": {"messages": [USER], "chat_template_kwargs": {"enable_thinking": "no"}},
    "an unknown reasoning_format": {"messages": [USER], "reasoning_format": "aloud"},
    "arguments that are no JSON": {
        "messages": [
            USER,
            {**CALLING, "tool_calls": [{**CALL, "function": {"name": "get_weather", "arguments": "{"}}]},
            RESULT,
        ],
        "tools": TOOLS,
    },
}
GREEDY = {"temperature": 0, "max_tokens": 60}
PROMPT = "<|im_start|>user\nTell me a joke.<|im_end|>\n<|im_start|>assistant\n"
PARTS = ("prompt", "input_tokens", "content", "tokens_predicted", "stop_type")
PATHS = ("/apply-template", "/chat/completions/input_tokens", "/chat/completions")


def cases() -> list[dict]:
    """{"name", "path", "body"} of every request."""
    spoken = [
        {"name": name, "path": path, "body": {**body, **GREEDY} if path == PATHS[-1] else body}
        for name, body in CONVERSATIONS.items()
        for path in PATHS
    ]
    refused = [{"name": name, "path": PATHS[-1], "body": {**body, **GREEDY}} for name, body in REFUSED.items()]
    schema = {"prompt": PROMPT, "json_schema": TRIP, "temperature": 0, "n_predict": 60}
    return [*spoken, *refused, {"name": "schema", "path": "/completion", "body": schema}]


def kept(status: int, reply: dict) -> dict:
    """What is compared of a reply."""
    if status != 200:
        return {"status": status}
    if "choices" not in reply:
        return {"status": status, **{name: reply[name] for name in PARTS if name in reply}}
    choice, message = reply["choices"][0], reply["choices"][0]["message"]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    return {
        "status": status,
        "content": message.get("content") or "",
        "calls": [{"name": call["name"], "arguments": json.loads(call["arguments"])} for call in calls],
        "finish_reason": choice["finish_reason"],
        "tokens": [reply["usage"]["prompt_tokens"], reply["usage"]["completion_tokens"]],
    }


def ask(url: str, body: dict | None = None) -> tuple[int, dict]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait_until_ready(url: str, process: subprocess.Popen) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"llama-server ended with status {process.returncode}")
        try:
            if ask(f"{url}/health")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError("llama-server did not become ready in 30 s")


def answers(program: Path, port: int) -> list[dict]:
    """Every case with what llama-server answers."""
    options = ["-m", MODEL, "-c", "1024", "-np", "1", "--no-warmup", "-t", "1", "--port", str(port), "--jinja"]
    process = subprocess.Popen([str(program), *map(str, options)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process)
        return [{**case, "answer": kept(*ask(url + case["path"], case["body"]))} for case in cases()]
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llama-cpp", required=True, type=Path, help="folder of llama-server")
    parser.add_argument("--llama-cpp-version", help="release, where the program does not know its own")
    parser.add_argument("--port", type=int, default=8197)
    options = parser.parse_args()
    program = options.llama_cpp / "llama-server"
    version = options.llama_cpp_version
    if version is None:
        shown = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
        version = (shown.stdout + shown.stderr).splitlines()[0]
    results = {
        "provenance": {
            "llama.cpp": version,
            "command": "python conformance/chat_server.py --llama-cpp BIN_DIR",
            "date": datetime.now().strftime("%Y-%m-%d"),
        },
        "cases": answers(program, options.port),
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(results['cases'])} requests; llama.cpp {version}; {RESULTS}")


if __name__ == "__main__":
    main()
