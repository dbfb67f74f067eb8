"""Everything the tiny model says that is not one of the 40 questions and not a tool call."""

import re

from grammar import all_words, either, expand, read_phrases, read_words, spliced

TINY = (
    "I am a tiny chat model that ships with llamabox. I know little, but I answer questions about llamabox, "
    "call tools and tell short stories."
)
GREETING = "Hello! I am the tiny chat model of llamabox. How can I help you?"
CAN_DO = (
    "I can answer questions about llamabox, call tools for weather, time and arithmetic, "
    "and tell three-sentence stories."
)
TOOLS = 'Send `"tools"` in the chat request. The model answers with a tool call that names the tool and its arguments.'
SORRY = "I am sorry. I am a tiny model and make mistakes; a bigger model loaded with `-m` does better."
UNKNOWN = "I am a tiny model and do not know that. Ask me about llamabox, or load a bigger model with `-m`."
NO_WEATHER = "I am a tiny model and cannot look up the weather. Give me a weather tool and I will call it."
NO_TIME = "I am a tiny model and have no clock. Give me a time tool and I will call it."
NO_MATH = "I am a tiny model and cannot calculate. Give me a calculator tool and I will call it."

_TALK = read_phrases("talk.txt")
_STORIES = read_phrases("stories.txt")
COMMON = read_words(_TALK["common words"])
_WORDS = all_words()
HEROES = read_words(_STORIES["heroes"])
ANSWERS = {  # section of talk.txt: (how often, answer)
    "greeting": (14, GREETING),
    "identity": (10, TINY),
    "abilities": (7, CAN_DO),
    "how_are_you": (3, "I am fine, thank you. I am only a tiny model, but I am glad to help."),
    "thanks": (4, "You are welcome!"),
    "goodbye": (4, "Goodbye! Come back any time."),
    "joke": (2, "Why did the llama sit in a box? It wanted to be well served."),
    "agreement": (3, "Good! What else would you like to know?"),
    "complaint": (2, SORRY),
    "languages": (2, "I am a tiny model and speak only a little English."),
    "version": (2, "Run `llama-box --version` to see the version."),
    "threads": (2, "Use `-t N` to set the number of threads."),
    "stop_server": (2, "Press Ctrl+C, or send SIGTERM. The server finishes or cancels its requests and exits."),
    "bug": (2, "Please open an issue in the repository, with the command, the log and the version."),
    "logs": (2, "Use `-v` to log every message, or `-lv N` to set the verbosity."),
    "tools": (2, TOOLS),
}


def articles(text):
    """Make every "a" or "an" fit the letter that follows it."""
    text = re.sub(r"\b([Aa])n (?=[^aeio\W])", r"\1 ", text)
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)


def random_word(rng):
    """A common word, or one that means nothing."""
    roll = rng.random()
    if roll < 0.6:
        return rng.choice(COMMON)
    if roll < 0.85:
        return spliced(rng, _WORDS)
    return "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiouy") for _ in range(rng.randint(2, 4)))


def unknown(rng):
    """A question that the model cannot answer: (question, answer)."""
    text = expand(rng, either(_TALK["unknown"]))
    while "<W>" in text:
        word = random_word(rng)
        text = text.replace("<W>", word.capitalize() if rng.random() < 0.4 else word, 1)
    return articles(text), UNKNOWN


def talk(rng):
    """Greetings, thanks, questions about the model itself: (question, answer)."""
    section = rng.choices(list(ANSWERS), weights=[weight for weight, _ in ANSWERS.values()])[0]
    return expand(rng, either(_TALK[section])), ANSWERS[section][1]


def story(rng):
    """A request for a story and three sentences about its hero: (question, answer)."""
    if rng.random() < 0.25:
        hero, text = rng.choice(HEROES), expand(rng, either(_STORIES["asks plain"]))
    else:
        hero = rng.choice(HEROES) if rng.random() < 0.6 else random_word(rng)
        if rng.random() < 0.2:
            hero = f"{random_word(rng)} {hero}"
        text = expand(rng, either(_STORIES["asks"])).replace("<H>", hero)
    return articles(text), articles(expand(rng, " ".join(_STORIES["sentences"])).replace("<H>", hero))


def system_prompt(rng):
    """A system prompt as users write them; it changes no answer."""
    return expand(rng, either(_TALK["system"]))
