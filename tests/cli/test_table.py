"""The option table against llama-box's own help and environment list (data/, verbatim from its README)."""

import re
from pathlib import Path

import pytest

from llamabox.cli.options import ALL_OPTIONS, help_text
from llamabox.cli.options.parsers import SAMPLERS
from llamabox.kernels.backends import BACKENDS

DATA = Path(__file__).parent / "data"
FLAG = r"--?[A-Za-z][\w-]*"


def seed_rows():
    """(group, flags, text) of every option of llama-box's help, in its order."""
    group, rows = "", []
    for line in (DATA / "llama_box_help.txt").read_text().splitlines():
        if re.fullmatch(r"[a-z/-]+:", line):
            group = line[:-1]
        elif re.match(FLAG, line):
            flags = re.match(rf"{FLAG}(,? {FLAG})*", line)[0]
            rows.append((group, tuple(re.findall(FLAG, flags)), line))
        else:
            rows[-1] = (*rows[-1][:2], f"{rows[-1][2]}\n{line}")
    return rows


def seed_environment():
    """variable -> the flags that llama-box's README gives for it."""
    text = (DATA / "llama_box_environment.txt").read_text()
    entries = re.split(r"(LLAMA_[A-Z_]+)", text)[1:]
    return {
        name: re.findall(r"-{1,2}[a-z][a-z-]*", about) for name, about in zip(entries[::2], entries[1::2], strict=True)
    }


ROWS = seed_rows()
TITLES = {group for group, _, _ in ROWS}
OURS = [(group.title, option) for group in ALL_OPTIONS.groups if group.title in TITLES for option in group.options]
PAIRS = [(text, option) for (_, _, text), (_, option) in zip(ROWS, OURS, strict=True)]
IDS = [row[1][-1] for row in ROWS]


def test_the_seed_is_read_whole():
    assert len(ROWS) == 156
    assert len(seed_environment()) == 34


def test_every_flag_of_llama_box_is_there_in_its_group_and_order():
    ours = [(title, tuple(flag for flag in o.flags if flag not in o.aliases)) for title, o in OURS]
    assert ours == [(group, flags) for group, flags, _ in ROWS]


# rows whose text differs on purpose -> why
REWORDED = {
    "--model": "the default is the shipped model",
    "--dry-sequence-breaker": "the seed prints the breaker as a line break, we print \\n",
    "--pooling": "the seed forgets the name of the value",
    "--image-slg-skip-layer": "the seed forgets the name of the value",
}


@pytest.mark.parametrize("text, option", PAIRS, ids=IDS)
def test_the_wording_is_that_of_llama_box(text, option):
    ours = f"{option.spec} {option.help}"
    if option.name in REWORDED:
        assert text.split() != ours.split()
    else:
        assert text.split() == ours.split()


@pytest.mark.parametrize("text, option", PAIRS, ids=IDS)
def test_defaults_are_those_that_llama_box_prints(text, option):
    stated = re.search(r"default: ([^,)=]*)", text)
    if option.name in DEFAULT_NOT_IN_TEXT:
        assert option.default == DEFAULT_NOT_IN_TEXT[option.name]
    elif option.is_switch:
        assert option.default is not option.const
    elif stated is None:
        assert option.default in (None, (), "")
    elif stated[1] in SAID:
        assert option.default == SAID[stated[1]]
    else:
        assert option.default == float(stated[1])


DEFAULT_NOT_IN_TEXT = {
    "--model": None,  # the one deliberate change: the shipped model
    "--verbose": 0,
    "--verbosity": 0,
    "--help": "",
    "--version": "",
    "--system-info": "",
    "--list-devices": "",
    "--split-mode": "layer",  # the text marks it: "layer (default)"
    "--mmap": True,
    "--escape": True,
    "--image-no-vae-tiling": False,
    "--cpu-range": frozenset(),
    "--dry-sequence-breaker": ("\n", ":", '"', "*"),
}

# what the seed's "(default: ...)" means when it is no number
SAID = {
    "127.0.0.1": "127.0.0.1",
    "0.0.0.0": "0.0.0.0",
    "f16": "f16",
    "default": "default",
    "disabled": None,
    "7;8;9": (7, 8, 9),
    ";".join(SAMPLERS): SAMPLERS,
    "edkypmxt": SAMPLERS,
    '""': frozenset(),
    "''": "",
    **dict.fromkeys(
        [
            "loaded from model",
            "template taken from model's metadata",
            "unused",
            "same as --threads",
            "same as --cpu-mask",
            "same as --cpu-strict",
            "--priority",
            "same as --poll",
        ]
    ),
}


def test_every_environment_variable_of_llama_box_stands_for_its_flags():
    ours = {option.env: option for option in ALL_OPTIONS.options if option.env and option.env.startswith("LLAMA_")}
    assert ours.keys() >= seed_environment().keys()
    for name, flags in seed_environment().items():
        assert flags and set(flags) <= set(ours[name].flags), name


def test_no_flag_means_two_things_and_rows_of_one_dest_share_their_default():
    flags = [flag for option in ALL_OPTIONS.options for flag in option.flags]
    assert len(flags) == len(set(flags))
    for option in ALL_OPTIONS.options:
        assert option.default == ALL_OPTIONS.defaults[option.dest]


def test_every_default_is_one_that_this_version_accepts():
    for option in ALL_OPTIONS.options:
        assert option.works_with(option.default), option.name


def test_help_shows_the_groups_in_order_and_every_flag():
    text = help_text(ALL_OPTIONS, "llama-box [options]")
    assert text.startswith("usage: llama-box [options]\n\ngeneral:\n")
    titles = re.findall(r"^([a-z/-]+):$", text, re.MULTILINE)
    assert titles == [
        "general",
        "server",
        "server/completion",
        "server/completion/speculative",
        "server/images",
        "rpc-server",
        "server/chat",
        "server/http",
        "llama-server",
        "llamabox",
    ]
    assert max(map(len, text.splitlines())) <= 120
    for option in (option for group in ALL_OPTIONS.groups if group.title for option in group.options):
        assert f"\n  {option.spec}" in text
        assert " ".join(option.help.split()) in " ".join(text.split())


def test_help_says_what_is_not_available_yet_and_names_variables():
    flat = " ".join(help_text(ALL_OPTIONS, "llama-box").split())
    assert "[not available yet: images arrive in a later release]" in flat
    assert "(env: LLAMA_ARG_CTX_SIZE)" in flat


def test_backends_of_the_option_are_those_of_the_kernels():
    assert set(ALL_OPTIONS.find("--backend").parse[0].words) == set(BACKENDS)


def test_every_template_that_the_help_names_is_there():
    from llamabox.chat import named_templates

    listed = ALL_OPTIONS.find("--chat-template").help.splitlines()[-1].split(", ")
    assert len(listed) == 33 and set(listed) <= set(named_templates())
