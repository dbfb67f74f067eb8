"""Options -> who may ask."""

from pathlib import Path
from typing import TYPE_CHECKING

from llamabox.cli.options import OptionError, Options

if TYPE_CHECKING:
    from llamabox.server.access import Access


def access(options: Options) -> "Access":
    """The keys and origins that the options name. Errors: OptionError for a file of keys that cannot be read."""
    from llamabox.server.access import Access, Cors

    cors = Cors(options.cors_origins, options.cors_methods, options.cors_headers, options.cors_credentials)
    return Access(options.api_keys + _keys_of_file(options), cors)


def _keys_of_file(options: Options) -> tuple[str, ...]:
    if options.api_key_file is None:
        return ()
    name = f"{options.source('api_key_file')} {options.api_key_file}"
    try:
        lines = Path(options.api_key_file).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{name}: cannot be read: {error}") from None
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise OptionError(f"{name}: found no key, expected one a line")
    return keys
