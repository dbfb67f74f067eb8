"""general: help, versions, logging."""

from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import INT32_MAX, Integer, on_off_auto


def colors(text: str) -> bool | str:
    """on -> "always"; off -> False; auto -> True, on a terminal."""
    value = on_off_auto(text)
    return True if value is None else "always" if value else False


GENERAL = Group(
    "general",
    (
        Option("action", "-h, --help, --usage", action="help", default="", help="print usage and exit"),
        Option("action", "--version", action="version", default="", help="print version and exit"),
        Option("action", "--system-info", action="system_info", default="", help="print system info and exit"),
        Option(
            "action",
            "--list-devices",
            action="list_devices",
            default="",
            help="print list of available devices and exit",
        ),
        Option(
            "verbosity",
            "-v, --verbose, --log-verbose",
            const=INT32_MAX,
            default=0,
            help="set verbosity level to infinity (i.e. log all messages, useful for debugging)",
        ),
        Option(
            "verbosity",
            "-lv, --verbosity, --log-verbosity V",
            (Integer(-INT32_MAX),),
            default=0,
            help="set the verbosity threshold, messages with a higher verbosity will be ignored",
            env="LLAMA_LOG_VERBOSITY",
            note="default: 0; errors have verbosity -2, warnings -1, information 0, debug messages 1",
        ),
        Option(
            "log_colors",
            "--log-colors",
            default=False,
            help="enable colored logging",
            optional=colors,
            note="on a terminal; on may follow (also elsewhere), off, or auto",
        ),
    ),
)
