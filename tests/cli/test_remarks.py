"""Options that have nothing to switch here say what they mean."""

import logging

import pytest

from llamabox.cli.devices import check_devices
from llamabox.cli.options import parse_options
from llamabox.cli.remarks import REMARKS, remark

SAID = {
    "defrag_thold": ["-dt", "0.2"],
    "flash_attn": ["-fa", "off"],
    "lazy_mode": ["-lzm", "on"],
    "repack": ["--no-repack"],
    "swa_full": ["--swa-full"],
    "op_offload": ["--no-op-offload"],
    "no_host": ["--no-host"],
    "perf": ["--no-perf"],
    "fit_ctx": ["-fitc", "4096"],
}


@pytest.mark.parametrize("dest", REMARKS)
def test_a_line_says_what_the_option_means(dest, caplog):
    caplog.set_level(logging.INFO)
    remark(parse_options(SAID[dest], {}))
    assert caplog.messages == [f"{SAID[dest][0]}: {REMARKS[dest]}"]


def test_without_options_nothing_is_said(caplog):
    caplog.set_level(logging.INFO)
    remark(parse_options([], {}))
    assert caplog.messages == []


@pytest.mark.parametrize(
    "words", ["-ot a=CPU", "-cmoe", "-ncmoe 3", "-ncffn 2", "-ngl auto", "-ngl all", "-fit off", "-fitt 512"]
)
def test_what_concerns_a_gpu_says_that_there_is_none(words, caplog):
    check_devices(parse_options(words.split(), {}))
    assert caplog.messages == [f"no GPU is present: {words.split()[0]} is without effect"]
