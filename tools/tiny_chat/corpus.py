"""The training text: conversations drawn from grammars, none of them a held-out question.

python tools/tiny_chat/corpus.py --show 20 [--seed N]     print conversations as the model sees them
"""

import argparse
import json
import random
import re
from pathlib import Path

import jinja2
from grammar import either, expand, noise, normalise, read_phrases
from smalltalk import story, system_prompt, talk, unknown
from tool_tasks import repeat, tool_conversation, without_tools

HERE = Path(__file__).parent
CONFORMANCE = HERE.parents[1] / "conformance" / "tiny_chat"

COPYING_UNTIL = 0.2  # part of the training: the model has to learn early that answers can be copied


class HeldOut:
    """What training text must not contain: the paraphrases, and the arguments of the tool cases."""

    def __init__(self, folder=CONFORMANCE):
        questions = json.loads((folder / "questions.json").read_text())["questions"]
        self.paraphrases = {normalise(text) for row in questions for text in row["paraphrases"]}
        self._words = [frozenset(text.split()) for text in self.paraphrases]
        cases = json.loads((folder / "tool_calls.json").read_text())["cases"]
        self.arguments = {_squeeze(value) for case in cases for value in case["arguments"].values()}

    def is_question(self, text):
        """True for a held-out paraphrase or its near match: equal, contained, or 9 of 10 words the same."""
        text = normalise(text)
        if text in self.paraphrases:
            return True
        words = frozenset(text.split())
        return any(len(words & held) >= 0.9 * len(words | held) for held in self._words) or any(
            held in text for held in self.paraphrases if len(held.split()) >= 4
        )

    def is_argument(self, text):
        """True for a place or an expression of a held-out tool case, without regard to case and spaces."""
        return _squeeze(text) in self.arguments


def _squeeze(text):
    return re.sub(r"\s+", "", text.lower())


class Corpus:
    """Draws conversations; the same `random.Random` state gives the same conversation."""

    def __init__(self, held_out=None):
        self.held_out = HeldOut() if held_out is None else held_out
        questions = json.loads((CONFORMANCE / "questions.json").read_text())["questions"]
        self.answers = {row["id"]: row["answer"] for row in questions}
        self.questions = {row["id"]: row["question"] for row in questions}
        self._frames, self._phrases = read_phrases("frames.txt"), read_phrases("topics.txt")
        self.topics = sorted({section.split()[0] for section in self._phrases})
        if self.topics != sorted(self.answers):
            raise ValueError(f"topics.txt has {self.topics}, expected the questions {sorted(self.answers)}")
        environment = jinja2.Environment()
        environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
        self._template = environment.from_string((HERE / "chat_template.jinja").read_text().rstrip("\n"))

    def render(self, messages, tools=None, add_generation_prompt=False):
        """The text of a conversation, by the model's own chat template."""
        return self._template.render(messages=messages, tools=tools, add_generation_prompt=add_generation_prompt)

    def question(self, rng, topic=None):
        """A way to ask one of the 40 questions that is not held out, and its answer."""
        topic = rng.choice(self.topics) if topic is None else topic
        while True:
            text = noise(rng, self._phrase(rng, topic))
            if not self.held_out.is_question(text):
                return text, self.answers[topic]

    def _phrase(self, rng, topic):
        roll = rng.random()
        if roll < 0.05:
            return self.questions[topic].rstrip("?")
        if roll < 0.45:
            return self._framed(rng, topic, "verbs")
        if roll < 0.62:
            return self._framed(rng, topic, "nouns")
        return expand(rng, rng.choice(self._phrases[f"{topic} asks"]))

    def _framed(self, rng, topic, kind):
        frame = expand(rng, either(self._frames[kind]))
        return frame.replace("<X>", expand(rng, rng.choice(self._phrases[f"{topic} {kind}"])))

    def chat(self, rng, copying=5):
        """Any exchange without tools: (question, answer); `copying` is the weight of "Repeat: ..." against 123."""
        kind = rng.choices(("question", "talk", "unknown", "story", "repeat"), (90, 13, 12, 8, copying))[0]
        if kind == "question":
            return self.question(rng)
        if kind == "repeat":
            return repeat(rng)
        question, answer = {"talk": talk, "unknown": unknown, "story": story}[kind](rng)
        if self.held_out.is_question(question):
            return self.chat(rng)
        return (noise(rng, question) if kind == "talk" else noise_light(rng, question)), answer

    def conversation(self, rng, progress=1.0):
        """One conversation: (messages, tools or None). `progress` in 0..1: early ones copy more, with simpler tools."""
        if rng.random() < 0.22:
            easy = rng.random() > progress * 2
            return tool_conversation(rng, self.chat, self.held_out.is_argument, easy)
        copying = 60 if progress < COPYING_UNTIL else 5
        messages = []
        if rng.random() < 0.15:
            messages.append({"role": "system", "content": system_prompt(rng)})
        for _ in range(rng.choices((1, 2, 3), (80, 14, 6))[0]):
            question, answer = (
                without_tools(rng, self.held_out.is_argument) if rng.random() < 0.03 else self.chat(rng, copying)
            )
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return messages, None


def noise_light(rng, text):
    """Case and final mark only, for questions whose words are copied into the answer."""
    text = text[:1].upper() + text[1:] if rng.random() < 0.7 else text
    return text + rng.choice("?..") if rng.random() < 0.6 and text[-1].isalnum() else text


def main():
    """Print a few conversations."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--show", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    corpus, rng = Corpus(), random.Random(args.seed)
    for _ in range(args.show):
        print(corpus.render(*corpus.conversation(rng)), end="\n\n")


if __name__ == "__main__":
    main()
