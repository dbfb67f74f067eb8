"""The options that print something and exit: --help, --version, --system-info, --list-devices."""

from llamabox import __version__
from llamabox.cli.completion import bash_completion
from llamabox.cli.options import Table, help_text


def do_action(action: str, table: Table, usage: str) -> int:
    """Print what the action of parsed options asks for.

    table, usage  of the command, for its help: usage is "llamabox serve [options]"
    """
    if action == "help":
        print(help_text(table, usage), end="")
    elif action == "version":
        print(f"llamabox {__version__}")
    elif action == "system_info":
        from llamabox.cli.system import print_system_info

        print_system_info()
    elif action == "list_devices":
        from llamabox.cli.devices import print_devices

        print_devices()
    elif action == "cache_list":
        from llamabox.cli.hub import print_cached

        print_cached()
    elif action == "completion_bash":
        print(bash_completion(table), end="")
    return 0
