"""Files to write: the one place where this package creates any.

::

    OutputFile      in a temporary file, synced, then renamed   a file that appears whole or not at all
    GrowingFile     in place                                    a log that others read while it is written
    PartialFile     beside the target, synced, then renamed     as the first, but kept until it is whole

All follow the same rules. A symbolic link is written through, so that it stays a link; one that leads
nowhere counts as a file, which is replaced only with ``overwrite``. A replaced file keeps its mode. A device,
a pipe or an open descriptor is written to and never replaced.

Whenever the process is killed, the name of an :class:`OutputFile` leads to the old file, if any, or to the
whole new one. Its temporary file may remain, until another process writes a file in the same directory
(:mod:`ckptfmt.storage.temporary`).

Programs that only read load none of this.
"""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "claim": "LocalClaim",
        "local_output": "GrowingFile OutputFile write_file",
        "names": "make_directory remove_file",
        "output": "Data NewFile Output OutputStream",
        "partial": "PartialFile",
        "special": "open_null",
    },
)
