"""RerankPrompts: a query and a document as the token ids that a reranker scores.

A file may bring a template with {query} and {document}; else it is [BOS] query [EOS] [SEP] document [EOS], each special
token where the vocabulary adds it, and SEP for an EOS that it does not have. Source: llama.cpp tools/server.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

KEY = "tokenizer.chat_template.rerank"
PLACE = re.compile(r"\{(query|document)\}")


class RerankPrompts:
    """For one tokenizer and the metadata of its file."""

    def __init__(self, tokenizer: Any, metadata: Mapping[str, Any]):
        self._tokenizer = tokenizer
        template = metadata.get(KEY)
        self._template = template if isinstance(template, str) else None
        t = tokenizer
        end = [t.eos if t.eos is not None else t.sep] if t.add_eos else []
        self._before = [t.bos] if t.add_bos else []
        self._between = end + ([t.sep] if t.add_sep and t.sep is not None else [])
        self._after = end

    def ids(self, query: str, documents: Iterable[str]) -> list[list[int]]:
        """The prompt of each document."""
        if self._template is not None:
            return [self._from_template(query, document) for document in documents]
        encode = self._tokenizer.encode
        head = self._before + encode(query, add_special=False) + self._between
        return [head + encode(document, add_special=False) + self._after for document in documents]

    def _from_template(self, query: str, document: str) -> list[int]:
        texts = {"query": query, "document": document}
        text = PLACE.sub(lambda place: texts[place[1]], self._template or "")
        return self._tokenizer.encode(text, add_special=False, parse_special=True)
