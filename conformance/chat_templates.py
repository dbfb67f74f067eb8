"""Chat templates against llama.cpp and Hugging Face: writes conformance/results/chat_templates.json.

    python conformance/chat_templates.py --llama-cpp BIN_DIR [--model MODEL.gguf]

- `named`: every named template that llama.cpp has, rendered by `llama_chat_apply_template` of its libllama;
- `published`: the templates of released models in conformance/templates, rendered by transformers' own environment, at
  a fixed time; long prompts are stored as their SHA-256;
- `server` (with --model, any small GGUF with a vocabulary whose tokenizer adds BOS): the same templates in
  llama-server, its prompts from /apply-template (of messages in the client's form) and its capabilities from /props.

Needs transformers. The stored answers are checked by tests/chat/test_chat_conformance.py, and counted in
docs/conformance.md; what differs on purpose stands in chat_template_differences.json.
"""

import argparse
import ctypes
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
RESULTS = HERE / "results" / "chat_templates.json"
DIFFERENCES = HERE / "chat_template_differences.json"
DOCS = HERE.parent / "docs" / "conformance.md"
NOW = datetime(2025, 2, 3, 14, 5, 6)
BOS, EOS = "<s>", "</s>"
SHORT = 200  # characters up to which an answer is stored as it is


def message(role: str, content, **more) -> dict:
    return {"role": role, "content": content, **more}


PLAIN = {  # only roles and texts: for llama_chat_apply_template
    "user": [message("user", "Hello")],
    "system": [message("system", "Be brief."), message("user", " Hi there \n")],
    "turns": [
        message("system", "  S  "),
        message("user", "a"),
        message("assistant", " b "),
        message("user", "c"),
        message("assistant", "d\n"),
        message("user", "e"),
    ],
    "no system": [message("user", "a"), message("assistant", "b"), message("user", "c")],
    "answered": [message("user", "a"), message("assistant", "b")],
    "two users": [message("user", "x"), message("user", "y")],
    "assistant first": [message("assistant", "hey"), message("user", "y")],
    "system only": [message("system", "only")],
    "system late": [message("user", "q"), message("system", "mid"), message("user", "r")],
    "empty": [message("user", ""), message("assistant", ""), message("user", "q")],
    "marks": [message("user", "日本 ☃ {{ x }} <|im_end|> </s>\u00e9'\"\\")],
}


def call(name: str, arguments, call_id: str) -> dict:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, "id": call_id}


def tool(name: str, **properties) -> dict:
    schema = {"type": "object", "properties": properties, "required": sorted(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": f"The tool <{name}> & more", "parameters": schema},
    }


TOOLS = [
    tool("get_weather", city={"type": "string", "description": "A city's name"}),
    tool(
        "add",
        a={"type": "number", "description": "first"},
        b={"type": "number", "description": "second"},
        how={"type": "array", "items": {"type": "string"}, "description": "in which ways"},
    ),
]


def tool_chat(arguments, more_arguments=None) -> list[dict]:
    calls = [call("get_weather", arguments, "call12345")]
    results = [message("tool", '{"celsius": 21}', tool_call_id="call12345", name="get_weather")]
    if more_arguments is not None:
        calls.append(call("add", more_arguments, "call67890"))
        results.append(message("tool", "3", tool_call_id="call67890", name="add"))
    return [
        message("user", "Weather in Zürich?"),
        message("assistant", "", tool_calls=calls),
        *results,
        message("assistant", "21 degrees."),
        message("user", "Thanks"),
    ]


CITY, NUMBERS = {"city": "Zürich <b>"}, {"a": 1, "b": 2.5, "how": ["x", None, True]}
RICH = {  # conversation -> (messages, tools): for published templates
    **{name: (messages, None) for name, messages in PLAIN.items()},
    "typed": ([message("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])], None),
    "null": ([message("user", "a"), message("assistant", None), message("user", "b")], None),
    "reasoning": (
        [
            message("user", "a"),
            message("assistant", "<think>\nhm\n</think>\n\nb", reasoning_content="hm"),
            message("user", "c"),
        ],
        None,
    ),
    "tools": ([message("system", "S"), message("user", "Weather?")], TOOLS),
    "called": (tool_chat(CITY), TOOLS),
    "called twice": (tool_chat(CITY, NUMBERS), TOOLS),
    "called as text": (tool_chat(json.dumps(CITY)), TOOLS),
    "tool result last": (tool_chat(CITY)[:3], TOOLS),
}
PREFILLED = ("answered",)  # llama-server continues a last assistant's message instead of starting a new one
EXTRAS = {"thinking off": {"enable_thinking": False}, "thinking on": {"enable_thinking": True, "thinking": True}}


# --- llama.cpp's named templates ------------------------------------------------------------------


class LlamaMessage(ctypes.Structure):
    _fields_ = [("role", ctypes.c_char_p), ("content", ctypes.c_char_p)]


def named_answers(library: Path) -> list[dict]:
    """llama.cpp's rendering of every plain conversation under every name that it and we have."""
    from llamabox.chat import named_templates

    apply = ctypes.CDLL(str(library)).llama_chat_apply_template
    apply.argtypes = [
        ctypes.c_char_p,
        ctypes.POINTER(LlamaMessage),
        ctypes.c_size_t,
        ctypes.c_bool,
        ctypes.c_char_p,
        ctypes.c_int32,
    ]
    answers = []
    for name in named_templates():
        for conversation, messages in PLAIN.items():
            for add in (True, False):
                buffer = ctypes.create_string_buffer(1 << 16)
                chat = (LlamaMessage * len(messages))(
                    *(LlamaMessage(m["role"].encode(), m["content"].encode()) for m in messages)
                )
                n = apply(name.encode(), chat, len(messages), add, buffer, len(buffer))
                if n >= 0:
                    answers.append(
                        {"template": name, "conversation": conversation, "add": add, "prompt": buffer.raw[:n].decode()}
                    )
    return answers


# --- published templates in Hugging Face's environment --------------------------------------------


def published_cases():
    """(template file, conversation, messages, tools, add_generation_prompt, extra)"""
    for path in sorted(TEMPLATES.glob("*.jinja")):
        for conversation, (messages, tools) in RICH.items():
            for add in (True, False):
                yield path, conversation, messages, tools, add, {}
        for extra in EXTRAS.values():
            yield path, "no system", PLAIN["no system"], None, True, extra


def stored(prompt: str) -> dict:
    """The form in which a prompt is stored."""
    if len(prompt) <= SHORT:
        return {"prompt": prompt}
    return {"length": len(prompt), "sha256": hashlib.sha256(prompt.encode()).hexdigest()}


def published_answers() -> list[dict]:
    """What Hugging Face's environment makes of every case; "error" where the template fails or refuses."""
    import jinja2
    from transformers.utils import chat_template_utils

    class FixedTime(datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW

    chat_template_utils.datetime = FixedTime
    answers = []
    for path, conversation, messages, tools, add, extra in published_cases():
        template = chat_template_utils._compile_jinja_template(path.read_text())
        answer = {"template": path.stem, "conversation": conversation, "add": add, "extra": extra}
        try:
            prompt = template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=add,
                bos_token=BOS,
                eos_token=EOS,
                **extra,
            )
            answer.update(stored(prompt))
        except (jinja2.TemplateError, TypeError, ValueError, AttributeError, LookupError) as error:
            answer["error"] = f"{type(error).__name__}: {error}"[:SHORT]
        answers.append(answer)
    return answers


# --- llama-server ---------------------------------------------------------------------------------


def ask(url: str, body: dict | None = None) -> dict:
    """A JSON answer of the server; {"error": ...} when it refuses."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return {"error": error.read().decode(errors="replace")[:SHORT]}


def server_answers(program: Path, model: Path, port: int) -> list[dict]:
    """For every published template: llama-server's capabilities and the prompts of all conversations."""
    return [
        answers_of_one_server(program, model, port + i, path)
        for i, path in enumerate(sorted(TEMPLATES.glob("*.jinja")))
    ]


def answers_of_one_server(program: Path, model: Path, port: int, template: Path) -> dict:
    url = f"http://127.0.0.1:{port}"
    options = ["-m", model, "-c", "512", "-np", "1", "--no-warmup", "-t", "1", "--port", str(port), "--jinja"]
    command = [program, *options, "--chat-template-file", template]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(url, process)
        prompts = []
        for conversation, (messages, tools) in RICH.items():
            if conversation in PREFILLED:
                continue
            body = {"messages": messages, "tools": tools} if tools else {"messages": messages}
            reply = ask(f"{url}/apply-template", body)
            answer = {"conversation": conversation}
            prompts.append({**answer, **({"error": reply["error"]} if "error" in reply else stored(reply["prompt"]))})
        return {"template": template.stem, "caps": ask(f"{url}/props").get("chat_template_caps"), "prompts": prompts}
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(url: str, process: subprocess.Popen) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"llama-server ended with status {process.returncode}")
        try:
            if ask(f"{url}/health").get("status") == "ok":
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError("llama-server did not become ready in 30 s")


# --- the count in docs/conformance.md ------------------------------------------------------------


def our_prompt(render, answer: dict, results: dict, **options) -> str | None:
    """Ours for the conversation of an answer; None when the template refuses."""
    from llamabox.chat import TemplateError

    chat = results["conversations"][answer["conversation"]]
    try:
        return render(chat["messages"], tools=chat["tools"], **options)
    except TemplateError:
        return None


def verdict(prompt: str | None, answer: dict) -> str:
    if prompt is None or "error" in answer:
        return "both refuse" if prompt is None and "error" in answer else "different"
    form = {"prompt": prompt} if "prompt" in answer else stored(prompt)
    return "equal" if all(answer.get(key) == value for key, value in form.items()) else "different"


def verdicts(results: dict) -> dict[str, list[str]]:
    """What became of each stored answer, by peer."""
    from llamabox.chat import ChatTemplate, PromptTemplate, resolve_template
    from llamabox.chat.prompt import Variant

    published = {p.stem: ChatTemplate(p.read_text(), results["bos"], results["eos"]) for p in TEMPLATES.glob("*.jinja")}
    served = {name: PromptTemplate(Variant(template), add_bos=True) for name, template in published.items()}
    day = datetime.fromisoformat(results["provenance"]["date"])
    found: dict[str, list[str]] = {"named, llama.cpp": [], "published, Hugging Face": [], "published, llama-server": []}
    for answer in results["named"]:
        render = resolve_template(answer["template"], {}).render
        prompt = our_prompt(render, answer, results, add_generation_prompt=answer["add"])
        found["named, llama.cpp"].append(verdict(prompt, answer))
    for answer in results["published"]:
        options = {"add_generation_prompt": answer["add"], "extra": answer["extra"], "now": NOW}
        prompt = our_prompt(published[answer["template"]].render, answer, results, **options)
        found["published, Hugging Face"].append(verdict(prompt, answer))
    for server in results["server"]:
        for answer in server["prompts"]:
            prompt = our_prompt(served[server["template"]].render, answer, results, now=day)
            found["published, llama-server"].append(verdict(prompt, answer))
    return found


def write_docs(results: dict) -> None:
    """Replace what stands between the markers of docs/conformance.md."""
    first, last = "<!-- chat templates -->", "<!-- /chat templates -->"
    made_by = results["provenance"]
    lines = [
        f"Against llama.cpp {made_by['llama.cpp']} and transformers {made_by['transformers']}; "
        f"`{made_by['command']}`. {len(results['conversations'])} conversations.",
        "",
        "| templates, rendered by | prompts | equal | both refuse | different |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for peer, found in verdicts(results).items():
        counts = [len(found), *(found.count(kind) for kind in ("equal", "both refuse", "different"))]
        lines.append(f"| {peer} | {' | '.join(map(str, counts))} |")
    lines += ["", "What differs does so on purpose:", ""]
    differences = json.loads(DIFFERENCES.read_text())
    for peer in ("hugging face", "server"):
        lines += [f"- {name}: {entry['reason']}" for name, entry in differences[peer].items()]
    text = DOCS.read_text() if DOCS.exists() else "# Conformance\n"
    if first not in text or last not in text:
        text = f"{text}\n## Chat templates\n\n{first}\n{last}\n"
    before, _, rest = text.partition(first)
    body = "\n".join(lines)
    DOCS.write_text(f"{before}{first}\n{body}\n{last}{rest.partition(last)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llama-cpp", type=Path, default=os.environ.get("LLAMA_CPP_DIR"), help="llama.cpp's programs")
    parser.add_argument("--model", type=Path, help="a GGUF with a vocabulary, for llama-server")
    parser.add_argument("--port", type=int, default=18300)
    parser.add_argument("--llama-cpp-version", help="commit or release, where the program does not know its own")
    parser.add_argument("--docs", action="store_true", help="only count the stored answers anew")
    options = parser.parse_args()
    if options.docs:
        return write_docs(json.loads(RESULTS.read_text()))
    if options.llama_cpp is None:
        parser.error("give --llama-cpp or set LLAMA_CPP_DIR")
    import jinja2
    import transformers

    program = Path(options.llama_cpp) / "llama-server"
    version = options.llama_cpp_version
    if version is None:
        shown = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
        version = (shown.stdout + shown.stderr).splitlines()[0]
    results = {
        "provenance": {
            "llama.cpp": version,
            "transformers": transformers.__version__,
            "jinja2": jinja2.__version__,
            "command": "python conformance/chat_templates.py "
            + " ".join(a for a in ("--model GGUF",) if options.model),
            "date": datetime.now().strftime("%Y-%m-%d"),
            "now": NOW.isoformat(),
        },
        "bos": BOS,
        "eos": EOS,
        "conversations": {name: {"messages": m, "tools": t} for name, (m, t) in RICH.items()},
        "named": named_answers(Path(options.llama_cpp) / "libllama.so"),
        "published": published_answers(),
        "server": server_answers(program, options.model, options.port) if options.model else [],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w") as file:
        json.dump(results, file, ensure_ascii=False, indent=0)
    write_docs(results)
    print(*(f"{key}: {len(results[key])}" for key in ("named", "published", "server")), sep=", ", file=sys.stderr)


if __name__ == "__main__":
    main()
