"""Speculative decoding: drafts that one forward pass verifies. The answer is the same without them."""

from llamabox.engine.speculation.ngram_file import NgramFileError
from llamabox.engine.speculation.options import SpeculationOptions
from llamabox.engine.speculation.speculator import Speculator
from llamabox.engine.speculation.vocabulary import DraftVocabularyError, check_vocabulary

__all__ = ["DraftVocabularyError", "NgramFileError", "SpeculationOptions", "Speculator", "check_vocabulary"]
