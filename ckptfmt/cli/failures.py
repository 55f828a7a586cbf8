"""Failures: exit codes, and errors as one line or as JSON."""

from __future__ import annotations

import enum

from ckptfmt import errors
from ckptfmt.cli.render.output import complain, write_json


class ExitCode(enum.IntEnum):
    """What the exit code of the command says."""

    FINE = 0
    FINDING = 1
    """A difference, or a finding that stops nothing."""
    USAGE = 2
    """The command line or a plan makes no sense, or not for this graph, or a package is not installed."""
    DAMAGED = 3
    """A file is damaged, or is nothing this version can read."""
    NOT_FOUND = 4
    """Not found, or not readable."""
    INTERNAL = 70
    """A bug of this program (``EX_SOFTWARE``)."""
    INTERRUPTED = 130
    """Stopped with Ctrl-C, as shells report it."""
    BROKEN_PIPE = 141
    """Nobody reads the output any more, as shells report it of programs stopped by SIGPIPE."""


FAILURES = (errors.CkptfmtError, OSError, MemoryError)
"""What may go wrong without being a bug."""

_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (errors.MissingDependencyError, ExitCode.USAGE),
    (errors.PlanError, ExitCode.USAGE),
    (errors.GraphError, ExitCode.USAGE),
    (errors.AlreadyExistsError, ExitCode.USAGE),
    (errors.PathNotFoundError, ExitCode.NOT_FOUND),
    (errors.NotReadableError, ExitCode.NOT_FOUND),
    (errors.NotWritableError, ExitCode.NOT_FOUND),
    (errors.NameNotFoundError, ExitCode.NOT_FOUND),
    (errors.CkptfmtError, ExitCode.DAMAGED),
    (OSError, ExitCode.NOT_FOUND),
    (MemoryError, ExitCode.NOT_FOUND),
)
_FIELDS = (
    *("stored", "computed", "wanted", "available", "limit", "asked", "package", "extra"),
    *("name", "close_matches", "tried", "node", "step"),
)


def code_of(error: BaseException) -> ExitCode:
    """Return the exit code for one of :data:`FAILURES`."""
    return next(code for cls, code in _CODES if isinstance(error, cls))


def message_of(error: BaseException) -> str:
    """Return what an error says; where Python raised it, in the form of this package's own."""
    if isinstance(error, OSError) and not isinstance(error, errors.CkptfmtError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


def describe(error: BaseException) -> dict[str, object]:
    """Return an error for JSON: type, message, file and offset, and whatever else it knows."""
    fields: dict[str, object] = {
        "type": type(error).__name__,
        "message": message_of(error),
        "file": getattr(error, "file", None) or getattr(error, "filename", None),
        "offset": getattr(error, "offset", None),
    }
    values = ((field, getattr(error, field, None)) for field in _FIELDS)
    return fields | {field: value for field, value in values if value is not None}


def report(error: BaseException, *, as_json: bool) -> ExitCode:
    """Tell the user of a failure, on one line of stderr and with ``--json`` also on stdout."""
    complain(message_of(error))
    if as_json:
        write_json({"error": describe(error)})
    return code_of(error)


class Problems:
    """What goes wrong with a part and leaves the rest to be shown: told at once, and in the exit code."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        """Whether the first one stops all."""
        self.code = ExitCode.FINE
        """What the command exits with."""

    def tell(self, error: BaseException, place: str) -> None:
        """Tell of one of :data:`FAILURES`, in a file or directory; raise it where this is strict."""
        if self.strict:
            raise error
        message = message_of(error)
        knows_place = getattr(error, "file", None) or place in message
        complain(message if knows_place else f"{place}: {message}")
        self.code = max(self.code, code_of(error))

    def tell_damage(self, message: str) -> None:
        """Tell of damage that was skipped."""
        complain(message)
        self.code = max(self.code, ExitCode.DAMAGED)
