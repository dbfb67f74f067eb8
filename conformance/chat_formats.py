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
from datetime import datetime
from pathlib import Path

import llguidance
from chat_families import FAMILIES, REQUESTS, TOOLS, texts_of

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
RESULTS = HERE / "results" / "chat_formats.json.gz"
DIFFERENCES = HERE / "chat_format_differences.json"
DOCS = HERE.parent / "docs" / "conformance.md"
BOS = EOS = ""  # as in llama.cpp's own tests; with Mistral's "</s>" its parser of Small 3.2 refuses every call
SENTENCES = 3  # of each grammar
TRIES = 200
VALUE_ENDS = ("\n</parameter>\n", "</parameter>\n", "</arg_value>\n")
LONGEST = 2000  # bytes of a sentence
FREE = 90  # bytes that may come next within a text
MESSAGES = [{"role": "user", "content": "Weather?"}]


def cases() -> list[dict]:
    """Every request of every template."""
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
