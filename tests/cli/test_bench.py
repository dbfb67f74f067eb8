"""`llamabox bench`, beside stored output of llama-bench (data/llama_bench.json says of which and how)."""

import csv
import io
import json
from pathlib import Path

import pytest

from llamabox.cli.bench import main
from llamabox.cli.bench.parameters import PARAMETERS, numbers, parse_bench
from llamabox.cli.main import main as llamabox
from llamabox.cli.options import OptionError

PEER = json.loads((Path(__file__).parent / "data" / "llama_bench.json").read_text())
SAME_RUN = ["-p", "16", "-n", "4", "-pg", "8,4", "-r", "2", "-d", "8", "-ub", "512,256", "--backend", "numpy"]
OWN = {"build_commit", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns", "samples_ts"}
OWN |= {"model_filename", "model_type", "backends", "n_threads", "repack", "tensor_split", "cpu_info"}


def run(capsys, *words: str) -> str:
    assert main([*SAME_RUN, *words]) == 0
    return capsys.readouterr().out


def test_json_has_llama_benchs_fields_and_values(capsys):
    ours = json.loads(run(capsys, "-o", "json"))
    assert [list(row) for row in ours] == [list(row) for row in PEER["json"]]
    for row, theirs in zip(ours, PEER["json"], strict=True):
        shared = [name for name in row if name not in OWN]
        assert {name: row[name] for name in shared} == {name: theirs[name] for name in shared}


def test_rates_follow_from_the_samples(capsys):
    for row in json.loads(run(capsys, "-o", "json")):
        tokens = row["n_prompt"] + row["n_gen"]
        assert row["samples_ts"] == pytest.approx([1e9 * tokens / ns for ns in row["samples_ns"]])
        assert row["avg_ts"] == pytest.approx(sum(row["samples_ts"]) / 2)
        a, b = row["samples_ns"]
        assert row["stddev_ns"] == pytest.approx(abs(a - b) / 2**0.5, abs=1)


def test_md_has_llama_benchs_table(capsys):
    ours = run(capsys).splitlines()
    assert ours[:2] == PEER["md"][:2]
    tests = [[cell.strip() for cell in line.split("|")][-3] for line in ours[2:8]]
    assert tests == [[cell.strip() for cell in line.split("|")][-3] for line in PEER["md"][2:8]]
    assert all(len(line) == len(ours[0]) for line in ours[2:8])


def test_csv_jsonl_and_sql(capsys):
    rows = list(csv.reader(io.StringIO(run(capsys, "-o", "csv"))))
    assert rows[0] == next(csv.reader(PEER["csv"])) and len(rows) == 7
    assert [json.loads(line)["n_gen"] for line in run(capsys, "-o", "jsonl").splitlines()] == [0, 4, 4] * 2
    sql = run(capsys, "-o", "sql")
    assert sql.startswith("CREATE TABLE IF NOT EXISTS llama_bench (") and sql.count("INSERT INTO llama_bench") == 6


def test_output_err_and_progress_go_to_standard_error(capsys):
    assert main(["-p", "4", "-n", "0", "-r", "1", "--backend", "numpy", "-oe", "jsonl", "--progress"]) == 0
    written = capsys.readouterr()
    lines = written.err.splitlines()
    assert lines[:2] == ["llamabox bench: test 1/1: warm-up", "llamabox bench: test 1/1: run 1/1"]
    assert json.loads(lines[2])["n_prompt"] == 4 and "pp4" in written.out


def test_a_step_has_at_most_ubatch_rows(capsys, monkeypatch):
    from llamabox.models import LoadedModel

    rows, forward = [], LoadedModel.forward
    monkeypatch.setattr(
        LoadedModel, "forward", lambda self, ids, step: rows.append(len(ids)) or forward(self, ids, step)
    )
    words = [
        "-p",
        "40",
        "-n",
        "2",
        "-b",
        "64,24",
        "-ub",
        "16",
        "-d",
        "3",
        "-r",
        "1",
        "--no-warmup",
        "--backend",
        "numpy",
    ]
    assert main(words) == 0
    assert rows == [3, 16, 16, 8, 3, 1, 1] * 2


def test_embeddings_of_a_text_model(capsys):
    assert main(["-p", "8", "-n", "0", "-r", "1", "-embd", "1", "--backend", "numpy", "-o", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["embeddings"] is True


def test_all_combinations_in_llama_benchs_order():
    tests = parse_bench(["-p", "1,2", "-n", "0", "-t", "1,2", "-ctk", "f16", "-ctk", "q8_0"]).tests
    found = [(t.values["type_k"], t.values["n_threads"], t.n_prompt) for t in tests]
    assert found == [(k, t, p) for k in ("f16", "q8_0") for t in (1, 2) for p in (1, 2)]


def test_a_tests_parameters_in_words_of_serve():
    words = (
        "-t 3 -ctk q8_0 -C 0x3 --cpu-strict 1 --poll 0 -ngl 4 -dev CUDA0/CUDA1 -ts 3/1 -nkvo 1 -sm row -mg 1".split()
    )
    (test,) = parse_bench(["-p", "1", "-n", "0", *words]).tests
    expected = (
        "-ngl 4 -sm row -mg 1 -dev CUDA0,CUDA1 -ts 3,1 -ctk q8_0 -ctv f16 -nkvo -t 3 -C 0x3 --cpu-strict 1 --poll 0"
    )
    assert test.words == expected.split()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("5", [5]),
        ("1,2", [1, 2]),
        ("1-3", [1, 2, 3]),
        ("128-512*2", [128, 256, 512]),
        ("0-10+5,7", [0, 5, 10, 7]),
        ("4-3", []),
    ],
)
def test_numbers(text, values):
    assert numbers(0)(text) == values


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "x"], "-p: found 'x', expected whole numbers"),
        (["-p", "-1"], "-p: found '-1', expected whole numbers from 0"),
        (["-p", "99999999"], "from 0 to 16777216"),
        (["-p", "1-9*1"], "-p: found '1-9*1', expected a range whose step leads upwards"),
        (["-p", "0", "-n", "0"], "the options ask for 0 tests"),
        (["-p", "1-20000"], "expected 1 to 10000"),
        (["-pg", "5"], "-pg: found '5', expected two whole numbers"),
        (["-ub", "0"], "-ub: found '0', expected whole numbers from 1"),
        (["-fa", "maybe"], "-fa: found 'maybe', expected on, off, auto"),
        (["-nkvo", "2"], "-nkvo: found '2', expected 0, 1"),
        (["-o", "xml"], "invalid choice: 'xml'"),
        (["-r", "1,2"], "--repetitions: found '1,2', expected one number"),
        (["-m", "a.gguf", "-hf", "b/c"], "-m and -hf: found both"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_mistakes(words, message):
    with pytest.raises(OptionError) as error:
        parse_bench(words)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "absent.gguf"], "absent.gguf: found no such file"),
        (["-ctk", "q9"], "found 'q9'"),
        (["--backend", "abacus"], "abacus"),
        (["-ts", "1,-1"], "-ts: found '-1'"),
    ],
)
def test_mistakes_that_show_when_it_runs(words, message, capsys):
    assert llamabox(["bench", *words]) == 2
    written = capsys.readouterr()
    assert message in written.err and written.err.count("\n") == 1 and written.out == ""


def test_numa_isolate_binds_the_process(monkeypatch):
    bound = []
    monkeypatch.setattr("llamabox.cli.bench.running.apply_affinity", lambda options: bound.append(options.numa))
    assert main(["-p", "2", "-n", "0", "-r", "1", "--backend", "numpy", "--numa", "isolate"]) == 0
    assert bound == ["isolate"]


def test_more_kv_memory_than_the_machine_has(capsys, monkeypatch):
    monkeypatch.setattr("llamabox.cli.bench.running.memory_bytes", lambda: (1 << 20, 1 << 20))
    assert llamabox(["bench", "-d", "100000", "--backend", "numpy"]) == 2
    error = capsys.readouterr().err
    assert "MiB of KV memory for 100512 tokens, found 1 MiB free" in error and error.count("\n") == 1


def test_every_parameter_has_a_field_or_names_the_model():
    (test,) = parse_bench(["-p", "1", "-n", "0"]).tests
    assert {p.name for p in PARAMETERS} - set(PEER["json"][0]) == {"hf_repo", "backend"}
    assert set(test.values) == {p.name for p in PARAMETERS}
