"""Tables of n-grams: token by token they hold what a count from scratch gives."""

import random
from collections import Counter, defaultdict

from llamabox.engine.speculation import ngrams
from llamabox.engine.speculation.ngrams import FrozenBigrams, NgramTable, ngram_key


def from_scratch(tokens, n_min):
    counts = defaultdict(Counter)
    for n in range(n_min, 5):
        for i in range(n, len(tokens)):
            counts[tuple(tokens[i - n : i])][tokens[i]] += 1
    return counts


def test_counting_in_pieces_is_counting_from_scratch():
    r = random.Random(4)
    for n_min in (1, 2, 4):
        tokens = [r.choice([0, 1, 2, 2**31 - 1, 5]) for _ in range(500)]
        table, done = NgramTable(n_min), 0
        while done < len(tokens):
            n = r.randrange(1, 20)
            table.count(tokens[: done + n], done)
            done += n
        expected = from_scratch(tokens, n_min)
        assert {ngram: dict(counts) for ngram, counts in table.items()} == expected
        assert len(table) == len(expected)
        for ngram, counts in expected.items():
            found = table.find(len(ngram), ngram_key(ngram))
            assert found.total == counts.total()
            assert found.best_count == max(counts.values()) == counts[found.best]
    assert table.find(4, ngram_key([9, 9, 9, 9])) is None


def test_of_equals_the_one_seen_last_is_best():
    table = NgramTable(1)
    table.count([7, 1, 7, 2, 7, 2, 7, 1], 0)
    assert table.find(1, 7).best == 1


def test_a_full_table_counts_on_and_takes_in_nothing_new(monkeypatch):
    monkeypatch.setattr(ngrams, "MAX_NGRAMS", 8)
    table = NgramTable(1)
    table.count(list(range(100)), 0)
    assert len(table) == 8
    table.count([0, 5], 1)
    assert table.find(1, 0).counts == {1: 1, 5: 1}
    table.count([50, 51], 1)
    assert table.find(1, 50) is None


def test_a_frozen_table_finds_its_pairs(tmp_path):
    from llamabox.engine.speculation.ngram_file import read_ngrams, write_ngrams

    r = random.Random(5)
    tokens = [r.randrange(30) for _ in range(2000)]
    expected = from_scratch(tokens, 1)
    write_ngrams(tmp_path / "cache", expected.items())
    frozen = FrozenBigrams(read_ngrams(tmp_path / "cache", 30))
    for a in range(30):
        for b in range(30):
            found = frozen.find(ngram_key([a, b]))
            assert (found.counts if found else {}) == expected.get((a, b), {})
