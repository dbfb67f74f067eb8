"""Ask the exported file the held-out questions and tool calls, greedily, and count the right answers.

python tools/tiny_chat/evaluate.py FILE [--program llamabox|llama.cpp] [--wrong] [--write-greedy GREEDY.json]

`--program llama.cpp` needs llama-cpp-python; `--write-greedy` stores its tokens for a sample of the prompts.
"""

import argparse
import difflib
import json
import re
import sys
from pathlib import Path

CONFORMANCE = Path(__file__).resolve().parents[2] / "conformance" / "tiny_chat"
MAX_TOKENS = 160


def load_cases():
    """The committed held-out files: (questions, tool calls)."""
    return tuple(json.loads((CONFORMANCE / name).read_text()) for name in ("questions.json", "tool_calls.json"))


def answer_is_right(answer, topic, questions):
    """The criterion of questions.json: every fact is there, and the nearest canonical answer is that of `topic`."""
    row = next(row for row in questions if row["id"] == topic)
    if not all(fact.lower() in answer.lower() for fact in row["facts"]):
        return False
    ratio = {row["id"]: difflib.SequenceMatcher(None, answer, row["answer"]).ratio() for row in questions}
    return max(ratio, key=ratio.get) == topic


def call_is_right(answer, case):
    """The criterion of tool_calls.json: exactly one <tool_call> with this name and these arguments, nothing else."""
    match = re.fullmatch(r"\s*<tool_call>\s*(\{.*\})\s*</tool_call>\s*", answer, re.DOTALL)
    if match is None:
        return False
    try:
        call = json.loads(match.group(1))
    except json.JSONDecodeError:
        return False
    return call == {"name": case["name"], "arguments": case["arguments"]}


class LlamaBox:
    """Greedy answers by llamabox."""

    def __init__(self, path):
        import llamabox

        self._model = llamabox.load(path)
        self.encode = lambda text: self._model.tokenizer.encode(text, parse_special=True)
        self.name = f"llamabox {llamabox.__version__}"

    def answer(self, text):
        """The text that greedy decoding gives after the prompt `text`."""
        return "".join(self._model.generate(text, n_predict=MAX_TOKENS, temperature=0.0))

    def close(self):
        self._model.close()


class LlamaCpp:
    """Greedy answers by llama.cpp, through llama-cpp-python."""

    def __init__(self, path):
        import llama_cpp

        self._model = llama_cpp.Llama(str(path), n_ctx=1024, n_threads=1, n_threads_batch=1, verbose=False)
        self.name = f"llama-cpp-python {llama_cpp.__version__}"

    def encode(self, text):
        return self._model.tokenize(text.encode(), add_bos=False, special=True)

    def greedy(self, ids):
        """Token ids after the prompt `ids`, up to but without the end token."""
        out = []
        for token in self._model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
            if token == self._model.token_eos() or len(out) == MAX_TOKENS:
                return out
            out.append(int(token))

    def answer(self, text):
        """The text that greedy decoding gives after the prompt `text`."""
        return self._model.detokenize(self.greedy(self.encode(text))).decode("utf-8", "replace")

    def close(self):
        self._model.close()


def make_render(template):
    """A function (messages, tools) -> prompt, by the file's own template."""
    import jinja2

    environment = jinja2.Environment()
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    compiled = environment.from_string(template)
    return lambda messages, tools: compiled.render(messages=messages, tools=tools, add_generation_prompt=True)


def evaluate(program, render, show_wrong):
    """Print and return the counts: {"questions": (right, all), "tool calls": ..., "no call": ...}."""
    questions, calls = load_cases()
    fresh = json.loads((CONFORMANCE / "fresh.json").read_text())
    rows = questions["questions"]
    asked = [("questions", row["id"], text) for row in rows for text in row["paraphrases"]]
    asked += [("fresh questions", topic, text) for topic, text in fresh["questions"].items()]
    jobs = [
        (group, text, None, lambda answer, topic=topic: answer_is_right(answer, topic, rows))
        for group, topic, text in asked
    ]
    jobs += [
        (group, case["prompt"], case["tools"], lambda answer, case=case: call_is_right(answer, case))
        for group, cases in (("tool calls", calls["cases"]), ("fresh tool calls", fresh["cases"]))
        for case in cases
    ]
    jobs += [
        ("no call", case["prompt"], case["tools"], lambda answer: "tool_call>" not in answer)
        for case in calls["no_call"]
    ]
    counts = {}
    for group, prompt, tools, right in jobs:
        messages = [{"role": "user", "content": prompt}]
        answer = program.answer(render(messages, calls["tool_sets"][tools] if tools else None))
        good, total = counts.get(group, (0, 0))
        counts[group] = (good + right(answer), total + 1)
        if show_wrong and not right(answer):
            print(f"{group}: {prompt!r} -> {answer!r}")
    for group, (good, total) in counts.items():
        print(f"{program.name}: {group} {good} of {total} right")
    return counts


SAMPLE = (  # besides every tenth held-out question and tool call
    "Hello!",
    "Who are you?",
    "Tell me a story about a dragon.",
    "What is the capital of France?",
)


def write_greedy(program, render, path, file):
    """Store the greedy tokens of a sample of prompts with their origin."""
    questions, calls = load_cases()
    prompts = [([{"role": "user", "content": text}], None) for text in SAMPLE]
    paraphrases = [text for row in questions["questions"] for text in row["paraphrases"]]
    prompts += [([{"role": "user", "content": text}], None) for text in paraphrases[::12]]
    for case in calls["cases"][::8]:
        prompts.append(([{"role": "user", "content": case["prompt"]}], calls["tool_sets"][case["tools"]]))
    rows = []
    for messages, tools in prompts:
        text = render(messages, tools)
        ids = list(program.encode(text))
        rows.append({"prompt": text, "prompt_ids": ids, "greedy_ids": program.greedy(ids)})
    origin = {
        "program": program.name,
        "command": f"python tools/tiny_chat/evaluate.py {file} --program llama.cpp --write-greedy {path}",
        "about": f"Greedy tokens after each prompt, f16 KV cache, at most {MAX_TOKENS}, without the end token.",
    }
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps(origin, indent=1)[:-2]
    path.write_text(f'{head},\n "cases": [\n{lines}\n ]\n}}\n')


def main():
    """Evaluate a file; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--program", choices=("llamabox", "llama.cpp"), default="llamabox")
    parser.add_argument("--wrong", action="store_true", help="print every wrong answer")
    parser.add_argument("--write-greedy", type=Path)
    args = parser.parse_args()
    from llamabox.gguf import open_gguf

    render = make_render(open_gguf(args.file).metadata["tokenizer.chat_template"])
    program = (LlamaBox if args.program == "llamabox" else LlamaCpp)(args.file)
    counts = evaluate(program, render, args.wrong)
    if args.write_greedy is not None:
        write_greedy(program, render, args.write_greedy, args.file)
    program.close()
    bars = {"questions": 0.8, "tool calls": 0.9, "no call": 1.0}
    sys.exit(any(counts[group][0] < bar * counts[group][1] for group, bar in bars.items()))


if __name__ == "__main__":
    main()
