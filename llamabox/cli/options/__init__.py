"""The one option table: flags, environment variables, types, defaults and help of every option of llama-box."""

from llamabox.cli.options.help import help_text
from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parse import OptionError, Options, parse_options
from llamabox.cli.options.table import ALL_OPTIONS, Table

__all__ = ["ALL_OPTIONS", "Group", "Option", "OptionError", "Options", "Table", "help_text", "parse_options"]
