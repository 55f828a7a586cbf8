"""The ``ckptfmt`` command, also as ``python -m ckptfmt``."""

from __future__ import annotations

import sys
from typing import NoReturn

from ckptfmt import __version__

try:
    from ckptfmt.cli.app import app
except ModuleNotFoundError as error:
    # As after `pip install --no-deps`. If anything else is missing, the installation is broken.
    if error.name != "click":
        raise
    INSTALLED = False
else:
    INSTALLED = True

USAGE = 2
"""Exit code of a command that cannot be run as it was given."""

INSTALL = "the command line needs click: pip install click"

HELP_WITHOUT_CLICK = f"""\
Usage: ckptfmt [OPTIONS] PATH | VERB [ARGS]...

Inspect TensorFlow checkpoints, graphs, logs and record files without TensorFlow.

No verb is available here, because {INSTALL}
The library does not need it: python -c 'import ckptfmt; help(ckptfmt)'

Options:
  -V, --version  Show the version and exit.
  -h, --help     Show this message and exit.
"""


def main() -> NoReturn:
    """Run the command line and exit; see ``ckptfmt --help``."""
    if INSTALLED:
        app.main(prog_name="ckptfmt")
    else:
        _main_without_click(sys.argv[1:])


def _main_without_click(arguments: list[str]) -> NoReturn:
    if arguments in (["-V"], ["--version"]):
        sys.stdout.write(f"ckptfmt {__version__}\n")
    elif arguments in (["-h"], ["--help"], ["help"]):
        sys.stdout.write(HELP_WITHOUT_CLICK)
    else:
        sys.stderr.write(f"ckptfmt: {INSTALL}\n")
        sys.exit(USAGE)
    sys.exit(0)


if __name__ == "__main__":
    main()
