"""n-gram files: as llama.cpp writes them, and nothing that is merely like them."""

import base64
import json
import os
import struct
from pathlib import Path

import pytest

from llamabox.engine.speculation.ngram_file import NgramFileError, read_ngrams, write_ngrams
from llamabox.engine.speculation.ngrams import NgramTable

STORED = json.loads((Path(__file__).parents[3] / "conformance/results/ngram_cache.json").read_text())["file"]


def contents(path, n_vocab=40):
    return dict(read_ngrams(path, n_vocab))


def test_a_file_of_llama_cpp_holds_what_we_count(tmp_path):
    path = tmp_path / "cache"
    path.write_bytes(base64.b64decode(STORED["bytes"]))
    table = NgramTable(STORED["n_min"])
    table.count(STORED["text"], 0)
    expected = {ngram: dict(counts) for ngram, counts in table.items()}
    assert contents(path) == expected
    write_ngrams(path, NgramTable(1, read_ngrams(path, 40)).items())
    assert contents(path) == expected, "and again, written by us"
    assert path.stat().st_size == len(base64.b64decode(STORED["bytes"]))


def record(ngram, followers, n=None):
    words = [*ngram, len(followers) if n is None else n, *(word for pair in followers for word in pair)]
    return struct.pack(f"<{len(words)}i", *words)


GOOD = record((1, 2, -1, -1), [(3, 4), (5, 6)])


def test_the_bytes_of_a_record(tmp_path):
    write_ngrams(tmp_path / "cache", [((1, 2), {3: 4, 5: 6})])
    assert (tmp_path / "cache").read_bytes() == GOOD
    assert contents(tmp_path / "cache") == {(1, 2): {3: 4, 5: 6}}
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"]


def test_an_empty_file_is_an_empty_cache(tmp_path):
    (tmp_path / "cache").write_bytes(b"")
    assert contents(tmp_path / "cache") == {}


def test_of_what_is_there_twice_the_first_counts(tmp_path):
    (tmp_path / "cache").write_bytes(record((1, -1, -1, -1), [(3, 4), (3, 9)]) + record((1, -1, -1, -1), [(7, 1)]))
    table = NgramTable(1, read_ngrams(tmp_path / "cache", 40))
    assert {ngram: dict(counts) for ngram, counts in table.items()} == {(1,): {3: 4}}


BAD = {
    "an odd length": GOOD + b"x",
    "cut off inside the n-gram": GOOD + GOOD[:8],
    "cut off before the number": GOOD + GOOD[:16],
    "cut off inside the followers": GOOD + GOOD[:-4],
    "no followers": GOOD + record((1, -1, -1, -1), []),
    "a negative number": GOOD + record((1, -1, -1, -1), [(1, 1)], -5),
    "a huge number": GOOD + record((1, -1, -1, -1), [(1, 1)], 2**31 - 1),
    "a count of 0": GOOD + record((1, -1, -1, -1), [(1, 0)]),
    "a negative count": GOOD + record((1, -1, -1, -1), [(1, -3)]),
    "a foreign follower": GOOD + record((1, -1, -1, -1), [(40, 1)]),
    "a negative follower": GOOD + record((1, -1, -1, -1), [(-1, 1)]),
    "a foreign token": GOOD + record((1, 40, -1, -1), [(1, 1)]),
    "an empty n-gram": GOOD + record((-1, -1, -1, -1), [(1, 1)]),
    "a gap": GOOD + record((1, -1, 2, -1), [(1, 1)]),
    "another negative token": GOOD + record((1, -2, -1, -1), [(1, 1)]),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_hostile_bytes(data, tmp_path):
    (tmp_path / "cache").write_bytes(data)
    with pytest.raises(NgramFileError, match="n-gram cache .*cache: .*found|n-gram cache .*: the record at byte") as e:
        read_ngrams(tmp_path / "cache", 40)
    assert "expected" in str(e.value) and len(str(e.value)) < 300 + len(str(tmp_path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(NgramFileError, match="No such file"):
        read_ngrams(tmp_path / "none", 40)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "cache"
    path.write_bytes(GOOD)

    def broken():
        yield (1,), {2: 3}
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_ngrams(path, broken())
    assert path.read_bytes() == GOOD and os.listdir(tmp_path) == ["cache"]


def test_a_count_too_large_for_the_file_is_the_largest(tmp_path):
    write_ngrams(tmp_path / "cache", [((1,), {2: 2**40})])
    assert contents(tmp_path / "cache") == {(1,): {2: 2**31 - 1}}
