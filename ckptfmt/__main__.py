"""The ``ckptfmt`` command, also as ``python -m ckptfmt``."""

from __future__ import annotations

import sys
from typing import NoReturn

try:
    from ckptfmt.cli.app import app
except ModuleNotFoundError as error:
    # Only what the extra installs is optional; if anything else is missing, the installation is broken.
    if error.name != "click":
        raise
    INSTALLED = False
else:
    INSTALLED = True

USAGE = 2
"""Exit code of a command that cannot be run as it was given."""


def main() -> NoReturn:
    """Run the command line and exit; see ``ckptfmt --help``."""
    if not INSTALLED:
        sys.stderr.write("ckptfmt: the command line needs click: pip install 'ckptfmt[cli]'\n")
        sys.exit(USAGE)
    app.main(prog_name="ckptfmt")


if __name__ == "__main__":
    main()
