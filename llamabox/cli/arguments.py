"""Arguments of the commands that have few options of their own and share none with `serve`."""

import argparse
from typing import NoReturn

from llamabox.cli.options import OptionError


class Arguments(argparse.ArgumentParser):
    """An argparse parser whose mistakes are an OptionError: one line, as for every other command."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; {self.prog} --help lists what it takes")
