"""Tool calls and thoughts against llama.cpp: writes conformance/results/chat_formats.json.gz.

    python conformance/chat_formats.py --llama-cpp BIN_DIR --source SOURCE_DIR [--docs-only]

For every template of conformance/templates that a format knows: requests (tools, choice, thinking), and texts that a
model of that family may write, whole, cut off and broken. llama.cpp's own parser (chat_parse.cpp, compiled against
libllama-common of BIN_DIR and the headers of SOURCE_DIR) gives the messages. Needs a C++ compiler. The stored answers
are checked by tests/chat/formats/test_formats_conformance.py and counted in docs/conformance.md; what differs on
purpose stands in chat_format_differences.json.
"""

import argparse
import gzip
import json
import os
import random
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import llguidance

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
RESULTS = HERE / "results" / "chat_formats.json.gz"
DIFFERENCES = HERE / "chat_format_differences.json"
DOCS = HERE.parent / "docs" / "conformance.md"
BOS = EOS = ""  # as in llama.cpp's own tests; with Mistral's "</s>" its parser of Small 3.2 refuses every call
CUTS = 11  # places at which the longest text is cut off
SENTENCES = 3  # of each grammar
TRIES = 200
VALUE_ENDS = ("\n</parameter>\n", "</parameter>\n", "</arg_value>\n")
LONGEST = 2000  # bytes of a sentence
FREE = 90  # bytes that may come next within a text
MESSAGES = [{"role": "user", "content": "Weather?"}]

Call = tuple[str, dict]


def tool(name: str, required: list[str], **properties) -> dict:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": f"does {name}", "parameters": schema}}


TOOLS = [
    tool("get_weather", ["city"], city={"type": "string"}, days={"type": "integer"}),
    tool(
        "add",
        ["a", "b"],
        a={"type": "number"},
        b={"type": "number"},
        how={"type": "array", "items": {"type": "string"}},
        options={"type": "object", "properties": {"exact": {"type": "boolean"}}},
    ),
    tool("now", []),
    tool("python", ["code"], code={"type": "string"}),
]
OSLO: Call = ("get_weather", {"city": "Oslo"})
SUM: Call = ("add", {"a": 1, "b": -2.5e3, "how": ["x", "y"], "options": {"exact": True}})
ODD: Call = ("get_weather", {"city": 'Zürich "<b>"\n\\ it\'s {☃}', "days": 3})
NOW: Call = ("now", {})
CODE: Call = ("python", {"code": "def f(x):\n    return {'a': x}\n"})
UNKNOWN: Call = ("forget", {"city": "Oslo"})


# --- how families write ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """call(name, arguments, number) is one call, `begin` + calls joined by `between` + `end` all of them.

    think     around thoughts
    reply     around content
    single    only one call in an answer
    """

    call: Callable[[str, dict, int], str]
    begin: str = ""
    between: str = ""
    end: str = ""
    think: tuple[str, str] | None = None
    reply: tuple[str, str] = ("", "")
    single: bool = False

    def calls(self, *calls: Call) -> str:
        return self.begin + self.between.join(self.call(n, a, i) for i, (n, a) in enumerate(calls)) + self.end

    def content(self, text: str) -> str:
        return text.join(self.reply)


def plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def json_call(form: str) -> Callable[[str, dict, int], str]:
    """NAME, ARGUMENTS and NUMBER stand in the form."""

    def call(name: str, arguments: dict, number: int) -> str:
        written = form.replace("NAME", name).replace("NUMBER", str(number))
        return written.replace("ARGUMENTS", plain(arguments))

    return call


def tagged_call(form: str, argument: str) -> Callable[[str, dict, int], str]:
    """NAME and ARGUMENTS stand in the form, KEY and VALUE in that of an argument."""

    def call(name: str, arguments: dict, number: int) -> str:
        texts = {key: value if isinstance(value, str) else plain(value) for key, value in arguments.items()}
        parts = [argument.replace("KEY", key).replace("VALUE", value) for key, value in texts.items()]
        return form.replace("NAME", name).replace("ARGUMENTS", "".join(parts))

    return call


HERMES = Family(
    json_call('<tool_call>\n{"name": "NAME", "arguments": ARGUMENTS}\n</tool_call>'),
    between="\n",
    think=("<think>\n", "\n</think>\n\n"),
)
QWEN_CODER = Family(
    tagged_call(
        "<tool_call>\n<function=NAME>\nARGUMENTS</function>\n</tool_call>", "<parameter=KEY>\nVALUE\n</parameter>\n"
    ),
    between="\n",
    think=("<think>\n", "\n</think>\n\n"),
)
GLM46 = Family(
    tagged_call("<tool_call>NAME\nARGUMENTS</tool_call>", "<arg_key>KEY</arg_key>\n<arg_value>VALUE</arg_value>\n"),
    between="\n",
    think=("<think>", "</think>\n"),
)
GLM47 = Family(
    tagged_call("<tool_call>NAMEARGUMENTS</tool_call>", "<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>"),
    think=("<think>", "</think>"),
)
R1_CALL = json_call("<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\nARGUMENTS\n```<｜tool▁call▁end｜>")
DEEPSEEK_R1 = Family(
    R1_CALL, "<｜tool▁calls▁begin｜>", "\n", "<｜tool▁calls▁end｜>", think=("<think>\n", "\n</think>\n\n")
)
DEEPSEEK_V31 = Family(
    json_call("<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>ARGUMENTS<｜tool▁call▁end｜>"),
    "<｜tool▁calls▁begin｜>",
    "",
    "<｜tool▁calls▁end｜>",
    think=("<think>", "</think>"),
)
KIMI = Family(
    json_call(
        "<|tool_call_begin|>functions.NAME:NUMBER<|tool_call_argument_begin|>ARGUMENTS<|tool_call_end|>",
    ),
    "<|tool_calls_section_begin|>",
    "",
    "<|tool_calls_section_end|>",
    think=("<think>", "</think>"),
)
MISTRAL = Family(
    json_call('{"name": "NAME", "arguments": ARGUMENTS, "id": "abcdef12NUMBER"}'), "[TOOL_CALLS][", ", ", "]"
)
LLAMA3 = Family(json_call('{"name": "NAME", "parameters": ARGUMENTS}'), between="; ", single=True)
FAMILIES: dict[str, Family] = {
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": HERMES,
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": HERMES,
    "Qwen-Qwen2.5-7B-Instruct": HERMES,
    "Qwen-Qwen3-0.6B": HERMES,
    "Qwen-QwQ-32B": HERMES,
    "ibm-granite-granite-4.0": HERMES,
    "Qwen3-Coder": QWEN_CODER,
    "Qwen3.5-4B": QWEN_CODER,
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": QWEN_CODER,
    "GLM-4.6": GLM46,
    "GLM-4.7-Flash": GLM47,
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": DEEPSEEK_R1,
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": DEEPSEEK_R1,
    "llama-cpp-deepseek-r1": DEEPSEEK_R1,
    "deepseek-ai-DeepSeek-V3.1": DEEPSEEK_V31,
    "Kimi-K2-Instruct": KIMI,
    "Kimi-K2-Thinking": KIMI,
    "mistralai-Mistral-Nemo-Instruct-2407": MISTRAL,
    "Mistral-Small-3.2-24B-Instruct-2506": Family(json_call("[TOOL_CALLS]NAME[CALL_ID]abcdef12NUMBER[ARGS]ARGUMENTS")),
    "mistralai-Ministral-3-14B-Reasoning-2512": Family(
        json_call("[TOOL_CALLS]NAME[ARGS]ARGUMENTS"), think=("[THINK]", "[/THINK]")
    ),
    "unsloth-mistral-Devstral-Small-2507": Family(json_call("[TOOL_CALLS]NAME[ARGS]ARGUMENTS")),
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": Family(
        json_call('{"tool_call_id": "NUMBER", "tool_name": "NAME", "parameters": ARGUMENTS}'),
        "<|START_ACTION|>[\n    ",
        ",\n    ",
        "\n]<|END_ACTION|>",
        think=("<|START_THINKING|>", "<|END_THINKING|>"),
        reply=("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ),
    "meetkai-functionary-medium-v3.1": Family(json_call("<function=NAME>ARGUMENTS</function>")),
    "meetkai-functionary-medium-v3.2": Family(json_call("NAME\nARGUMENTS"), between=">>>", reply=("all\n", "")),
    "fireworks-ai-llama-3-firefunction-v2": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'), " functools[", ", ", "]"
    ),
    "meta-llama-Llama-3.1-8B-Instruct": LLAMA3,
    "meta-llama-Llama-3.2-3B-Instruct": LLAMA3,
    "meta-llama-Llama-3.3-70B-Instruct": LLAMA3,
    "ibm-granite-granite-3.3-2B-Instruct": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'),
        "<|tool_call|>[",
        ", ",
        "]",
        think=("<think>", "</think>"),
        reply=("<response>", "</response>"),
    ),
    "openai-gpt-oss-120b": Family(
        json_call("<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>ARGUMENTS"),
        think=("<|channel|>analysis<|message|>", "<|end|><|start|>assistant"),
        reply=("<|channel|>final<|message|>", ""),
        single=True,
    ),
    "MiniMax-M1": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'), "<tool_calls>\n", "\n", "\n</tool_calls>"
    ),
    "MiniMax-M2": Family(
        tagged_call('<invoke name="NAME">\nARGUMENTS</invoke>', '<parameter name="KEY">VALUE</parameter>\n'),
        "<minimax:tool_call>\n",
        "\n",
        "\n</minimax:tool_call>",
        think=("<think>\n", "\n</think>\n\n"),
    ),
    "ByteDance-Seed-OSS": Family(
        tagged_call(
            "<seed:tool_call>\n<function=NAME>\nARGUMENTS</function>\n</seed:tool_call>",
            "<parameter=KEY>VALUE</parameter>\n",
        ),
        between="\n",
        think=("<seed:think>", "</seed:think>\n"),
    ),
    "NVIDIA-Nemotron-Nano-v2": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'),
        "<TOOLCALL>[",
        ", ",
        "]</TOOLCALL>",
        think=("<think>\n", "</think>"),
    ),
    "unsloth-Apriel-1.5": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'), "<tool_calls>[", ", ", "]</tool_calls>"
    ),
    "HuggingFaceTB-SmolLM3-3B": Family(json_call("NAME ARGUMENTS"), think=("<think>\n", "\n</think>\n")),
    "google-gemma-2-2b-it": Family(json_call("NAME ARGUMENTS")),
}


def texts_of(family: Family, opened: bool) -> dict[str, str]:
    """What a model of the family may write; opened: the prompt has begun its thoughts."""

    def think(thoughts: str) -> str:
        if family.think is None:
            return ""
        start, end = family.think
        return ("" if opened else start) + thoughts + end

    calls, reply = family.calls, family.content
    several = (OSLO,) if family.single else (OSLO, SUM)
    first = "" if not opened else think("hm")
    said = first + (reply("I look.\n") if family.reply[1] == "" else "")
    longest = think("hm, let me see") + calls(*several)
    texts = {
        "content": first + reply("Hello"),
        "space": first + reply("  Hello\n\n"),
        "thoughts and content": think("hm") + reply("Hello"),
        "thoughts with marks": think("<b> if x < 3:\n\n  [y]") + reply("# Hello <3 {"),
        "only thoughts": think("hm"),
        "a call": first + calls(OSLO),
        "all types": first + calls(SUM),
        "odd text": first + calls(ODD),
        "no arguments": first + calls(NOW),
        "code": first + calls(CODE),
        "several calls": first + calls(*several),
        "content and a call": said + calls(OSLO),
        "thoughts and a call": think("hm") + calls(OSLO),
        "an unknown tool": first + calls(UNKNOWN),
        "words after a call": first + calls(OSLO) + "\nbye",
        "a broken call": first + calls(OSLO).replace("Oslo", "Os", 1).replace('"}', "}", 1),
        "a mark alone": first + (calls(OSLO).partition("get_weather")[0] or "{") + "?",
    }
    for i in range(1, CUTS):
        texts[f"cut off {i}"] = longest[: len(longest) * i // CUTS]
    return {name: text for name, text in texts.items() if text}


FEW = ("content", "thoughts and content", "a call", "thoughts and a call")
REQUESTS: dict[str, tuple[dict, tuple[str, ...] | None]] = {  # options and, if not all, the names of the texts
    "tools": ({}, None),
    "one call": ({"parallel_tool_calls": False}, ("a call", "thoughts and a call")),
    "required": ({"tool_choice": "required"}, ("a call", "several calls", "thoughts and a call")),
    "choice none": ({"tool_choice": "none"}, FEW),
    "no tools": ({"tools": []}, FEW),
    "reasoning none": ({"reasoning_format": "none"}, FEW),
    "thinking off": ({"enable_thinking": False}, FEW),
}


def cases() -> list[dict]:
    """Every request of every template, with its texts; `prompt_opens` is filled in by `main`."""
    found = []
    for stem, family in FAMILIES.items():
        for request, (options, names) in REQUESTS.items():
            found.append({"template": stem, "request": request, "options": options, "names": names, "family": family})
    return found


def job(case: dict, texts: list[str]) -> dict:
    """What chat_parse.cpp reads."""
    return {
        "template": (TEMPLATES / f"{case['template']}.jinja").read_text(),
        "bos": BOS,
        "eos": EOS,
        "messages": MESSAGES,
        "tools": TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning_format": "auto",
        "enable_thinking": True,
        "add_generation_prompt": True,
        "continue_final_message": False,
        "json_schema": None,
        "kwargs": {},
        **case["options"],
        "texts": texts,
    }


def compiled(binaries: Path, source: Path, folder: Path) -> Path:
    """chat_parse.cpp as a program."""
    program = folder / "chat_parse"
    includes = [f"-I{source / path}" for path in ("common", "include", "ggml/include", "vendor")]
    libraries = [f"-L{binaries}", "-lllama-common", "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{binaries}"]
    command = ["g++", "-std=c++17", "-O1", "-o", program, HERE / "chat_parse.cpp", *includes, *libraries]
    subprocess.run(list(map(str, command)), check=True)
    return program


def ask(program: Path, jobs: list[dict]) -> list[dict]:
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    reply = subprocess.run([program], input=lines, capture_output=True, text=True, check=True).stdout
    answers = [json.loads(line) for line in reply.splitlines()]
    if len(answers) != len(jobs):
        raise RuntimeError(f"chat_parse gave {len(answers)} answers to {len(jobs)} jobs")
    return answers


# --- sentences of our own grammars ----------------------------------------------------------------


def sentences(stem: str) -> dict[str, str]:
    """Random sentences of the grammar that forces a call, with and without several calls."""
    from llamabox.chat import ChatRequest, ChatTemplate, PromptTemplate, prepare_chat
    from llamabox.chat.prompt import Variant

    source = (TEMPLATES / f"{stem}.jinja").read_text()
    template = PromptTemplate(Variant(ChatTemplate(source, BOS, EOS)))
    found = {}
    for parallel in (False, True):
        request = ChatRequest(MESSAGES, TOOLS, "required", parallel)
        chat = prepare_chat(template, request)
        if chat.format_name == "generic":  # llama.cpp has no such form
            return {}
        ends = ['"', *([chat.thinking.end] if chat.thinking else []), *VALUE_ENDS]
        for seed in range(SENTENCES):
            text = sentence(chat.grammar.source, ends, random.Random(f"{stem} {parallel} {seed}"))
            found[f"sentence {seed} of {'several calls' if parallel else 'a call'}"] = text
    return found


def sentence(lark: str, ends: list[str], generator: random.Random) -> str:
    """One random sentence, byte by byte; where nearly everything is allowed, a free text, it is soon ended."""
    grammar = llguidance.LLMatcher.grammar_from_lark(lark)
    for _ in range(TRIES):
        matcher = llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar)
        written = b""
        while len(written) < LONGEST and not (matcher.is_accepting() and generator.random() < 0.5):
            allowed = [i for i, bias in enumerate(matcher.compute_logit_bias()[:256]) if bias]
            if not allowed:
                break
            plain = [i for i in allowed if chr(i) in '{}[]",:agnbe12.- \n<']
            piece = bytes([generator.choice(plain or allowed)])
            if len(allowed) > FREE and generator.random() < 0.5:
                piece = generator.choice(ends).encode()
            if matcher.validate_tokens(list(piece)) == len(piece):
                matcher.consume_tokens(list(piece))
                written += piece
        if matcher.is_accepting():
            return written.decode()
    raise RuntimeError(f"no sentence of {lark}")


def answers(program: Path) -> list[dict]:
    """llama.cpp's messages for every case."""
    todo = cases()
    opened = [begins_thinking(answer) for answer in ask(program, [job(case, []) for case in todo])]
    asked = []
    for case, is_open in zip(todo, opened, strict=True):
        texts = texts_of(case["family"], is_open)
        chosen = {name: texts[name] for name in case["names"] or texts if name in texts}
        asked.append({**chosen, **(sentences(case["template"]) if case["request"] == "required" else {})})
    found = []
    jobs = [job(case, list(texts.values())) for case, texts in zip(todo, asked, strict=True)]
    for case, texts, answer in zip(todo, asked, ask(program, jobs), strict=True):
        entry = {key: case[key] for key in ("template", "request", "options")}
        if "error" in answer:
            found.append({**entry, "error": answer["error"][:200]})
            continue
        messages = [
            {"name": name, "text": text, "message": message}
            for (name, text), message in zip(texts.items(), answer["parsed"], strict=True)
        ]
        keys = ("generation_prompt", "grammar_lazy", "triggers", "preserved", "thinking")
        found.append({**entry, **{key: answer[key] for key in keys}, "messages": messages})
    return found


def begins_thinking(answer: dict) -> bool:
    """Whether the prompt ends inside the thoughts."""
    thinking = answer.get("thinking") or []
    if not thinking:
        return False
    start, ends = thinking[0], thinking[1:]
    _, opening, rest = answer["generation_prompt"].rpartition(start)
    return bool(opening) and not any(end in rest for end in ends)


# --- the count in docs/conformance.md ------------------------------------------------------------


def write_docs(stored: dict) -> None:
    """Replace what stands between the markers of docs/conformance.md."""
    differences = json.loads(DIFFERENCES.read_text())
    listed = {case for entry in differences.values() for case in entry["cases"]}
    counts: dict[str, list] = {}
    for answer in stored["answers"]:
        template = answer["template"]
        cases = [f"{template}|{answer['request']}|{message['name']}" for message in answer["messages"]]
        row = counts.setdefault(format_name(template), [set(), 0, 0])
        row[0].add(template)
        row[1] += len(cases)
        row[2] += sum(case not in listed for case in cases)
    made_by, n_texts = stored["provenance"], sum(row[1] for row in counts.values())
    lines = [
        f"{n_texts} texts that models may write, whole, cut off and broken, and random sentences of our own grammars, "
        f"against {made_by['program']} ({made_by['version']}); `{made_by['command']}`. Each is also read in pieces.",
        "",
        "| format | templates | texts | equal |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {name} | {len(row[0])} | {row[1]} | {row[2]} |" for name, row in sorted(counts.items())),
        "",
        "What differs does so on purpose:",
        "",
        *(f"- {entry['why']} ({len(entry['cases'])})" for entry in differences.values()),
    ]
    text = DOCS.read_text()
    first, last = "<!-- chat formats -->", "<!-- /chat formats -->"
    before, _, rest = text.partition(first)
    body = "\n".join(lines)
    DOCS.write_text(f"{before}{first}\n{body}\n{last}{rest.partition(last)[2]}")


def format_name(stem: str) -> str:
    from llamabox.chat.formats import find_format

    found = find_format((TEMPLATES / f"{stem}.jinja").read_text())
    return "generic" if found is None else found.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llama-cpp", type=Path, default=os.environ.get("LLAMA_CPP_DIR"), help="llama.cpp's libraries")
    parser.add_argument(
        "--source", type=Path, default=os.environ.get("LLAMA_CPP_SOURCE"), help="what they were built of"
    )
    parser.add_argument("--docs-only", action="store_true", help="only count what is stored, in docs/conformance.md")
    options = parser.parse_args()
    if options.docs_only:
        write_docs(json.loads(gzip.decompress(RESULTS.read_bytes())))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = answers(compiled(options.llama_cpp, options.source, Path(folder)))
    stored = {
        "provenance": {
            "program": "llama.cpp's common_chat_templates_apply and common_chat_parse",
            "version": "that of llama-cpp-python 0.3.36",
            "command": "python conformance/chat_formats.py --llama-cpp BIN_DIR --source SOURCE_DIR",
            "date": datetime.now().date().isoformat(),
        },
        "tools": TOOLS,
        "answers": found,
    }
    with gzip.GzipFile(RESULTS, "wb", mtime=0) as file:
        file.write(json.dumps(stored, ensure_ascii=False).encode())
    write_docs(stored)
    messages = [message for answer in found for message in answer.get("messages", ())]
    print(f"{len(found)} requests, {len(messages)} messages")


if __name__ == "__main__":
    main()
