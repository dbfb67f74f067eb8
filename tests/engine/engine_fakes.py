"""A model and a tokenizer without weights: what the engine asks of them, and what it did with them."""

import time
from types import SimpleNamespace

import numpy as np

from llamabox.kernels import BLOCK, KVShape, Ops

N_VOCAB = 300
END = 0


class FakeModel:
    """The next token depends on every token of the sequence, read back from the KV blocks, and on nothing else.

    Each token is stored in its cell as K = token + 1; the logits are a hash of all stored cells. A cell that was
    never written, belongs to another sequence or lies in the wrong place changes the answer.
    """

    is_encoder, causal = False, True
    arch = "fake"
    key_ropes = (None,)  # keys are moved as they are

    def __init__(self, seconds_per_row=0.0, n_ctx_train=4096):
        self.config = SimpleNamespace(n_vocab=N_VOCAB, n_ctx_train=n_ctx_train, kv_shapes=lambda: [KVShape(1, 1, 1)])
        self.ops = Ops()
        self.seconds_per_row = seconds_per_row
        self.steps = []  # rows of each sequence, a list a step
        self.n_rows = 0
        self.break_when = lambda sequences: None  # may raise, or return "nan" for a sequence's tokens

    def forward(self, tokens, step, adapters=()):
        rows = np.diff(step.row_start).tolist()
        self.steps.append(rows)
        self.n_rows += len(tokens)
        time.sleep(self.seconds_per_row * len(tokens))
        k = step.kv.k[0]
        k[step.cells // BLOCK, 0, step.cells % BLOCK, 0] = tokens + 1
        logits = []
        for row in step.out_rows:
            n = step.seq[row]
            cells = k[step.tables[n][: -(-int(step.kv_len[n]) // BLOCK)], 0, :, 0].reshape(-1)
            text = cells[: step.pos[row] + 1].astype(np.int64) - 1
            assert (text >= 0).all()
            logits.append(self._logits(text))
        x = np.array(logits, np.float32).reshape(-1, N_VOCAB)
        return self.ops.tag(x, "result_output")

    def _logits(self, text):
        if self.break_when(text.tolist()) == "nan":
            return np.full(N_VOCAB, np.nan)
        seed = int((text * (np.arange(len(text)) % 97 + 1)).sum()) + 7919 * len(text)
        x = np.random.default_rng(seed).normal(size=N_VOCAB)
        x[END] -= 100  # the end token comes when a test wants it
        return x


class FakeTokenizer:
    """Token i is the i-th letter of the alphabet, over and over; token 0 ends the text."""

    n_vocab = N_VOCAB
    add_bos = False
    end_ids = frozenset([END])
    control_ids = (END,)

    def piece(self, id, special=True):
        return chr(ord("a") + id % 26).encode()

    def encode(self, text, add_special=True, parse_special=False):
        return [26 + ord(c) - ord("a") for c in text]

    def decode(self, ids, special=False):
        return "".join(self.piece(id).decode() for id in ids)

    def stream(self, special=False, shown=frozenset()):
        return SimpleNamespace(push=lambda id: self.piece(id).decode(), flush=lambda: "")
