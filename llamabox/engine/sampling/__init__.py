"""Sampling: from logits to the next token. Pure filters, the random generator and the history an argument."""

from llamabox.engine.sampling.candidates import Candidates
from llamabox.engine.sampling.names import LETTERS, sampler_letters, sampler_names
from llamabox.engine.sampling.sampler import Sampler

__all__ = ["LETTERS", "Candidates", "Sampler", "sampler_letters", "sampler_names"]
