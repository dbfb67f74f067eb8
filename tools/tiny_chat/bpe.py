"""The model's tokenizer: byte-level BPE learned on the training text, read by llama.cpp as pre-tokenizer "qwen2".

Merges are learned on pieces finer than qwen2's: a space is never merged with a capital letter, so that " Lisbon" in a
question and "Lisbon" in a tool call are cut the same way, and copying is a copy of equal tokens. Digits stay alone.
"""

import random
import re

import numpy as np
from corpus import Corpus
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN2 = (  # as in the Qwen2 release
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FINER = r"[ _/\-]?[a-z]+|[A-Z][a-z]+|[A-Z]+|\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _pre_tokenizer(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train_tokenizer(path, n_vocab, n_conversations=30_000, seed=1):
    """Learn the merges and write the `tokenizers` JSON file to `path`."""
    corpus, rng = Corpus(), random.Random(seed)
    conversations = (corpus.render(*corpus.conversation(rng)) for _ in range(n_conversations))
    texts = (re.sub(r"<\|im_(start|end)\|>", "\n", text) for text in conversations)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _pre_tokenizer(FINER)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=n_vocab, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = _pre_tokenizer(QWEN2)
    tokenizer.save(str(path))
    return tokenizer


def answer_mask(ids, tokenizer):
    """True where a token belongs to an answer: after "<|im_start|>assistant\\n" up to and with "<|im_end|>"."""
    ids = np.asarray(ids)
    start, end = tokenizer.token_to_id("<|im_start|>"), tokenizer.token_to_id("<|im_end|>")
    head = tokenizer.encode("<|im_start|>assistant\n").ids
    mask, inside, i = np.zeros(len(ids), bool), False, 0
    while i < len(ids):
        if ids[i] == start and ids[i : i + len(head)].tolist() == head:
            inside, i = True, i + len(head)
            continue
        mask[i] = inside
        inside = inside and ids[i] != end
        i += 1
    return mask
