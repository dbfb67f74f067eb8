"""-dev, -ngl, -sm, -ts, -mg, -nkvo, -ot, -cmoe ...: from flags to layers on two CPU devices that stand for GPUs."""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.assets import tiny_chat_path
from llamabox.cli.devices import check_devices
from llamabox.cli.main import main
from llamabox.cli.model import load_arguments
from llamabox.cli.offload import draft_placement, placement
from llamabox.cli.options import OptionError, parse_options
from llamabox.cli.serve import server_settings
from llamabox.cli.speculation import speculation_settings
from llamabox.engine import GenerationRequest, SamplingParams
from llamabox.kernels import Placement, devices, open_backend, placing
from llamabox.kernels.devices import Device
from llamabox.server.loading import load_served

sys.path.append(str(Path(__file__).resolve().parents[2] / "conformance"))
import logits  # noqa: E402

GPUS = [Device(f"GPU{i}", "cpu", "stands for a GPU", 4 << 30, (2 + 2 * i) << 30) for i in range(2)]
IDS = list(range(5, 60))


@pytest.fixture
def two_gpus(monkeypatch):
    """Two devices more, on which the cpu backend computes."""
    real = devices.devices
    monkeypatch.setattr(devices, "devices", lambda backend=None: [*real("cpu"), *GPUS])
    monkeypatch.setattr(placing, "devices", devices.devices)
    monkeypatch.setattr(placing, "may_have_gpu", lambda: True)


def options(*words):
    return parse_options(list(words), {})


def load(*words, path=None):
    model = llamabox.load(path or tiny_chat_path(), **load_arguments(options("-t", "1", *words)))
    return model, model.model.ops


def plan_of(*words):
    return load(*words)[1].plan


def test_without_flags_all_layers_go_to_the_gpus(two_gpus):
    plan = plan_of()
    assert plan.layers == ("GPU0",) * 2 + ("GPU1",) * 3 and plan.output == "GPU1"  # by free memory, 1 : 2
    assert plan.input == "CPU"


def test_without_a_gpu_nothing_is_placed(caplog):
    assert placement(options("-ngl", "99")) is None
    assert load("-ngl", "99", "-ts", "3,1")[1].name == "cpu"


@pytest.mark.parametrize(
    ("words", "layers", "output"),
    [
        ("-ngl 0", "CCCCC", "C"),
        ("-ngl 3 -ts 1,1", "CCC00", "1"),
        ("-ngl 99 -ts 3,1", "00000", "1"),
        ("-sm none -mg 1 -ngl 4", "CC111", "1"),
        ("-sm row -mg 1", "11111", "1"),
        ("-dev GPU1 -ngl 2", "CCCC1", "1"),
        ("-dev gpu1,GPU0 -ts 1,1", "11100", "0"),
        ("--backend cpu -ngl 1", "CCCCC", "0"),
    ],
)
def test_flags_say_where_layers_go(two_gpus, words, layers, output):
    model, ops = load(*words.split())
    names = {"C": "CPU", "0": "GPU0", "1": "GPU1"}
    plan = getattr(ops, "plan", None)
    found = (plan.layers, plan.output) if plan is not None else (("CPU",) * 5, "CPU")
    assert found == (tuple(names[c] for c in layers), names[output])
    assert set(model.backends) == {"CPU"} | {names[c] for c in layers + output}.union(
        {"GPU0", "GPU1"} if "row" in words else ()
    )


@pytest.mark.parametrize(
    ("words", "layers"),
    [
        ("-c 512", "00111"),  # a layer of 384 bytes a token
        ("-c 2000000", "CCC01"),
        ("-c 2000000 -fit on", "CCC01"),
        ("-c 4000000 -fitt 0", "CCC01"),
        ("-c 4000000 -fit off", "00111"),
        ("-c 4000000 -ngl auto -fitt 1900,3900", "CCCCC"),
        ("-c 4000000 -ngl all", "00111"),
    ],
)
def test_without_a_number_those_layers_go_that_find_room(two_gpus, words, layers):
    model, ops = load(*words.split())
    found = ops.plan.layers if ops.name == "placed" else ("CPU",) * 5
    assert "".join({"CPU": "C", "GPU0": "0", "GPU1": "1"}[device] for device in found) == layers


@pytest.mark.parametrize(
    "words",
    [
        "-ngl 3",
        "-ts 5,1",
        "-sm row -ts 1,3",
        "-sm none -mg 1 -ngl 3",
        "-nkvo",
        r"-ot blk\.(1|2)\.ffn=GPU1,attn_k=cpu",
        "-ncffn 2 -ngl 5",
    ],
)
def test_logits_and_text_are_those_of_one_device(two_gpus, words):
    one, _ = load("--backend", "cpu")
    several, ops = load(*words.split())
    assert ops.name == "placed"
    np.testing.assert_array_equal(several.logits(IDS), one.logits(IDS))
    if one.tokenizer is not None:
        texts = ["".join(m.generate("Once upon a time", n_predict=12, temperature=0)) for m in (one, several)]
        assert texts[0] == texts[1] and len(texts[0]) > 0
    one.close()
    several.close()


@pytest.mark.parametrize("words", ["-cmoe", "-ncmoe 1", "-ngl 2 -cmoe", "-sm row"])
def test_experts_stay_on_the_host(two_gpus, tmp_path, words):
    path = logits.open_case("llama-moe", tmp_path).path
    one, _ = load("--backend", "cpu", path=path)
    several, ops = load(*words.split(), path=path)
    tokens = np.array(IDS) % one.config.n_vocab
    np.testing.assert_array_equal(several.logits(tokens), one.logits(tokens))
    at = [layer.ffn_up_exps.parts[0].site.name for layer in several.model.weights.layers]
    on_host = {"-cmoe": 2, "-ncmoe 1": 1, "-ngl 2 -cmoe": 2, "-sm row": 0}[words]
    assert at == ["CPU"] * on_host + list(ops.plan.layers)[on_host:]


def test_everything_on_one_gpu_runs_on_its_backend_alone(two_gpus, caplog):
    caplog.set_level(logging.INFO)
    model, ops = load("-dev", "GPU1")
    assert (ops.name, list(model.backends), model.backends["GPU1"]) == ("cpu", ["GPU1"], ops)
    assert caplog.messages[0].startswith("GPU1: layers 0-4, embeddings, output, 2.4 MiB of weights")


def test_the_plan_is_printed(two_gpus, caplog):
    caplog.set_level(logging.INFO)
    model, _ = load("-ngl", "4", "-ts", "1,3")
    assert caplog.messages[:3] == [
        "CPU: layers 0-1, embeddings, 1.1 MiB of weights",
        "GPU0: layers 2, 0.4 MiB of weights",
        "GPU1: layers 3-4, output, 1.1 MiB of weights",
    ]
    "".join(model.generate("Hello", n_predict=1))
    assert "KV cache: CPU 0.8 MiB, GPU0 0.4 MiB, GPU1 0.8 MiB" in [m for m in caplog.messages if "KV" in m][0]
    model.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-dev CUDA0", "-dev: found 'CUDA0', expected none or a device that is present: CPU, GPU0, GPU1"),
        ("-devd GPU2", "-devd: found 'GPU2', expected none or a device that is present: CPU, GPU0, GPU1"),
        ("-dev GPU0,gpu0", "-dev: found GPU0 twice, expected each once"),
        ("-ts 1,2,3", "-ts: found 3 shares, expected at most 2, one for GPU0, GPU1"),
        ("-dev GPU0 -ts 1,2", "-ts: found 2 shares, expected at most 1, one for GPU0"),
        (
            "-ts 1,-2",
            "-ts: found '1,-2', expected comma-separated numbers of at least 0, not all of them 0, such as 3,1",
        ),
        ("-ts 0,0", "-ts: found '0,0', expected comma-separated numbers of at least 0, not all of them 0, such as 3,1"),
        ("-mg 2", "-mg: found 2, expected 0 to 1, the place of one of GPU0, GPU1"),
        ("-sm columns", "-sm: found 'columns', expected one of none, layer, row"),
        ("-ot exps=GPU7", "-ot: found device 'GPU7', expected one that is present: CPU, GPU0, GPU1"),
    ],
)
def test_mistakes_are_one_line(two_gpus, capsys, words, message):
    with pytest.raises(OptionError) as caught:
        check_devices(options(*words.split()))
    assert str(caught.value) == message
    assert main(["complete", *words.replace("-devd", "-dev").split(), "x"]) == 2
    assert capsys.readouterr().err == f"error: {message.replace('-devd', '-dev')}\n"


def test_without_a_gpu_another_device_of_tensors_is_refused():
    with pytest.raises(OptionError, match="^-ot: found device 'CUDA0', expected one that is present: CPU$"):
        check_devices(options("-ot", "exps=CUDA0"))


def test_with_a_gpu_nothing_is_without_effect(two_gpus, caplog):
    check_devices(options("-ngl", "9", "-ngld", "9", "-mg", "1", "-sm", "row", "-ts", "3,1", "-nkvo", "-cmoe"))
    assert caplog.messages == []


def test_the_draft_model_has_a_placement_of_its_own(two_gpus, tmp_path):
    model = str(tiny_chat_path())
    both = options("-md", model, "-ngl", "2", "-sm", "row", "-ts", "3,1", "-mg", "1", "-nkvo", "-ngld", "3")
    assert draft_placement(both) == Placement(None, 3, "row", (3.0, 1.0), 1, False)
    assert draft_placement(options("-md", model, "-ts", "3,1", "-devd", "GPU1")) == Placement(("GPU1",))
    settings = speculation_settings(both)
    assert settings.load["placement"] == draft_placement(both)
    assert speculation_settings(options("-md", model, "--backend", "numpy")).load["placement"] is None


def test_a_draft_model_runs_on_the_backends_that_are_open(two_gpus):
    target, _ = load("-ngl", "3")
    draft = llamabox.load(tiny_chat_path(), backend=target.backends, placement=Placement(("GPU1",), 2))
    assert {name: ops is target.backends[name] for name, ops in draft.backends.items()} == {"CPU": True, "GPU1": True}
    np.testing.assert_array_equal(draft.logits(IDS), target.logits(IDS))


def test_the_server_runs_on_the_plan_and_names_its_devices(two_gpus):
    model = str(tiny_chat_path())
    words = (
        "-ngl",
        "4",
        "-ts",
        "1,1",
        "-md",
        model,
        "-devd",
        "GPU1",
        "-t",
        "1",
        "-c",
        "512",
        "-np",
        "2",
        "--no-warmup",
    )
    served = load_served(server_settings(options(*words)))
    try:
        assert served.devices == ("CPU", "GPU0", "GPU1")
        generation = served.engine.submit(GenerationRequest((1, 2, 3), SamplingParams(temperature=0.0), n_predict=5))
        assert [type(event).__name__ for event in generation][-1] == "FinishEvent"
    finally:
        served.engine.close()


def test_devices_are_listed(two_gpus, capsys):
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "  GPU0: stands for a GPU (4096 MiB, 2048 MiB free)",
        "  GPU1: stands for a GPU (4096 MiB, 4096 MiB free)",
    ]


def test_the_benchmark_places_layers_too(two_gpus, capsys):
    assert main(["bench", "-p", "8", "-n", "2", "-r", "1", "-ngl", "3", "-ts", "1/1", "-t", "1", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {(row["n_gpu_layers"], row["tensor_split"], row["backends"]) for row in found} == {(3, "1/1", "placed")}


def test_one_backend_serves_two_placements_alike(two_gpus):
    assert open_backend("cpu").name == "cpu"
    assert plan_of("-ngl", "2") == plan_of("-ngl", "2")
