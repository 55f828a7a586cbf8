"""Files to write: the one place where this package creates any.

::

    OutputFile      in a temporary file, synced, then renamed   a file that appears whole or not at all
    GrowingFile     in place                                    a log that others read while it is written

Both follow the same rules. A symbolic link is written through, so that it stays a link; one that leads
nowhere counts as a file, which is replaced only with ``overwrite``. A replaced file keeps its mode. A device,
a pipe or an open descriptor is written to and never replaced.

Whenever the process is killed, the name of an :class:`OutputFile` leads to the old file, if any, or to the
whole new one. Its temporary file may remain, until another process writes a file in the same directory
(:mod:`ckptfmt.storage.temporary`).
"""

from ckptfmt.storage.output.claim import LocalClaim
from ckptfmt.storage.output.local_output import GrowingFile, OutputFile, write_file
from ckptfmt.storage.output.names import make_directory, remove_file
from ckptfmt.storage.output.output import Data, NewFile, Output, OutputStream
from ckptfmt.storage.output.special import open_null

__all__ = [
    "Data",
    "GrowingFile",
    "LocalClaim",
    "NewFile",
    "Output",
    "OutputFile",
    "OutputStream",
    "make_directory",
    "open_null",
    "remove_file",
    "write_file",
]
