"""The options of speculative decoding -> how the server drafts."""

from typing import TYPE_CHECKING

from llamabox.cli.model import file_of, rope_arguments
from llamabox.cli.offload import draft_placement
from llamabox.cli.options import OptionError, Options

if TYPE_CHECKING:
    from llamabox.server.settings import SpeculationSettings


def speculation_settings(options: Options) -> "SpeculationSettings | None":
    """None: no drafts are asked for.

    Errors:  OptionError for options that ask for something that another one switches off
    """
    types = _types(options)
    if "draft-simple" not in types:
        _refuse(options, "draft-simple", "model_draft", "cache_type_k_draft", "cache_type_v_draft")
    if "ngram-cache" not in types:
        _refuse(options, "ngram-cache", "lookup_ngram_min", "lookup_cache_static", "lookup_cache_dynamic")
    if not types:
        return None

    from llamabox.server.settings import SpeculationSettings

    return SpeculationSettings(
        path=str(file_of(options, "model_draft")) if "draft-simple" in types else None,
        load={
            "mmap": options.mmap,
            "mlock": options.mlock,
            "cache_type_k": options.cache_type_k_draft,
            "cache_type_v": options.cache_type_v_draft,
            "placement": draft_placement(options),
            **rope_arguments(options),
        },
        ngram_min=max(options.lookup_ngram_min, 1) if "ngram-cache" in types else 0,
        static=options.lookup_cache_static,
        dynamic=options.lookup_cache_dynamic,
    )


def _types(options: Options) -> tuple[str, ...]:
    """The kinds of speculation that are asked for."""
    if options.spec_type is None:
        lookup = ("ngram-cache",) if options.lookup_ngram_min > 0 else ()
        return (*lookup, "draft-simple") if options.given("model_draft") else lookup
    if "draft-simple" in options.spec_type and not options.given("model_draft"):
        raise OptionError(f"{options.source('spec_type')} draft-simple: found no draft model, expected -md")
    return tuple(name for name in options.spec_type if name != "none")


def _refuse(options: Options, kind: str, *dests: str) -> None:
    """Options of a kind of speculation that is off."""
    for dest in dests:
        if options.given(dest) and getattr(options, dest) != 0:
            needed = {"draft-simple": "-md", "ngram-cache": "--lookup-ngram-min of 1 or more"}[kind]
            wanted = needed if options.spec_type is None else f"{kind} in {options.source('spec_type')}"
            raise OptionError(f"{options.source(dest)}: without effect, it needs {wanted}")
