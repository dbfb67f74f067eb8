"""Each sampling field, and the flag that sets its default, changes the text; and both change it alike.

The model that ships, one seed, everything else the same: only the value differs.
"""

from dataclasses import dataclass, field

import falcon.testing
import pytest
from tiny_server import tiny_context

from llamabox.cli.options import parse_options
from llamabox.cli.serve import server_settings
from llamabox.server.app import create_app

# Wide open: without filters, at a temperature at which the model says different things.
OPEN = {"--seed": "1", "--temp": "2", "--top-k": "0", "--top-p": "1", "--min-p": "0", "--predict": "24"}
SEA = "<|im_start|>user\nTell me about the sea, the sea, the sea and the sea.<|im_end|>\n<|im_start|>assistant\n"
AGAIN = f"{SEA}I am a tiny model and do not know that. Ask me about llamabox, or load a bigger one.<|im_end|>\n{SEA}"


@dataclass(frozen=True)
class Case:
    """A field's name in requests, its flag, and a value as each writes it; base: further flags of both runs."""

    field: str
    value: object
    flag: str
    text: str
    base: dict = field(default_factory=dict)
    prompt: str = SEA


REPEAT = {"--repeat-penalty": "4"}
DRY = {"--temp": "0.3", "--dry-multiplier": "1", "--dry-base": "1.2", "--dry-allowed-length": "1"}
HARD = {**DRY, "--dry-multiplier": "50"}
XTC = {"--xtc-probability": "1", "--xtc-threshold": "0.01"}
DYNAMIC = {"--dynatemp-range": "1"}
MIROSTAT = {"--mirostat": "2", "--mirostat-lr": "0.5", "--mirostat-ent": "2"}
CASES = [
    Case("seed", 2, "--seed", "2"),
    Case("temperature", 0.1, "--temp", "0.1"),
    Case("top_k", 1, "--top-k", "1"),
    Case("top_p", 0.05, "--top-p", "0.05"),
    Case("min_p", 0.9, "--min-p", "0.9"),
    Case("typical_p", 0.05, "--typical", "0.05"),
    Case("top_n_sigma", 0.5, "--top-nsigma", "0.5"),
    Case("min_keep", 5, "", "", {"--top-p": "0.01", "--temp": "5"}),
    Case("xtc_probability", 1.0, "--xtc-probability", "1", {"--xtc-threshold": "0.01"}),
    Case("xtc_threshold", 0.3, "--xtc-threshold", "0.3", XTC),
    Case("repeat_penalty", 4.0, "--repeat-penalty", "4"),
    Case("repeat_last_n", 2, "--repeat-last-n", "2", REPEAT),
    Case("presence_penalty", 20.0, "--presence-penalty", "20"),
    Case("frequency_penalty", 20.0, "--frequency-penalty", "20"),
    Case("dry_multiplier", 50.0, "--dry-multiplier", "50", DRY, AGAIN),
    Case("dry_base", 9.0, "--dry-base", "9", DRY, AGAIN),
    Case("dry_allowed_length", 99, "--dry-allowed-length", "99", HARD, AGAIN),
    Case("dry_penalty_last_n", 3, "--dry-penalty-last-n", "3", HARD, AGAIN),
    Case("dry_sequence_breakers", ["a"], "--dry-sequence-breaker", "a", HARD, AGAIN),
    Case("dynatemp_range", 1.9, "--dynatemp-range", "1.9"),
    Case("dynatemp_exponent", 0.05, "--dynatemp-exp", "0.05", DYNAMIC),
    Case("mirostat", 2, "--mirostat", "2"),
    Case("mirostat_eta", 5.0, "--mirostat-lr", "5", MIROSTAT),
    Case("mirostat_tau", 9.0, "--mirostat-ent", "9", MIROSTAT),
    Case("samplers", ["temperature"], "--samplers", "temperature", {"--top-k": "2"}),
    Case("samplers", "t", "--sampling-seq", "t", {"--top-k": "2"}),
    Case("logit_bias", [[84, 50.0]], "--logit-bias", "84+50"),
    Case("n_predict", 3, "--predict", "3"),
    Case("ignore_eos", True, "--ignore-eos", "", {"--temp": "0", "--predict": "80"}),
    Case("stop", ["e"], "--reverse-prompt", "e"),
]


@pytest.fixture(scope="module")
def context():
    with tiny_context() as context:
        yield context


@pytest.fixture
def complete(context):
    """complete(flags, body) -> the text of /completion from a server with these flags."""

    def run(flags, body):
        words = [word for flag, value in flags.items() for word in (flag, value) if word]
        context.defaults = server_settings(parse_options(words)).defaults
        client = falcon.testing.TestClient(create_app(context))
        reply = client.simulate_post("/completion", json={"prompt": SEA, "cache_prompt": False, **body})
        assert reply.status_code == 200, reply.text
        return reply.json["content"]

    return run


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.field}{case.flag}")
def test_field_and_flag_change_the_text_alike(case, complete):
    base, prompt = {**OPEN, **case.base}, {"prompt": case.prompt}
    by_field = complete(base, {**prompt, case.field: case.value})
    assert by_field != complete(base, prompt)
    if case.flag:
        assert complete({**base, case.flag: case.text}, prompt) == by_field


def test_a_seed_repeats_and_minus_one_does_not(complete):
    fixed = [complete(OPEN, {"seed": 5}) for _ in range(2)]
    assert fixed[0] == fixed[1]
    assert len({complete(OPEN, {"seed": -1}) for _ in range(4)}) > 1


def test_the_default_seed_is_a_random_one(complete):
    free = {flag: value for flag, value in OPEN.items() if flag != "--seed"}
    assert len({complete(free, {}) for _ in range(4)}) > 1
