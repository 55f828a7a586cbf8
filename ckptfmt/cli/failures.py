"""Failures: the exit codes, and errors as one line of text or as JSON."""

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
    """The command line, or a plan or name that does not fit the file, or a package that is not installed."""
    DAMAGED = 3
    """A file is damaged, or not one that this version can read."""
    NOT_FOUND = 4
    """A file or a name does not exist, or the system refuses a file."""
    INTERNAL = 70
    """A bug of this program (``EX_SOFTWARE``)."""
    INTERRUPTED = 130
    """Stopped with Ctrl-C, as shells report it."""
    BROKEN_PIPE = 141
    """The reader of the output went away, as shells report it after SIGPIPE."""


FAILURES = (errors.CkptfmtError, OSError, MemoryError)
"""Errors that are not bugs: the message is enough for the user."""

_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (errors.MissingDependencyError, ExitCode.USAGE),
    (errors.PlanError, ExitCode.USAGE),
    (errors.GraphError, ExitCode.USAGE),
    (errors.AlreadyExistsError, ExitCode.USAGE),
    (errors.ConversionError, ExitCode.USAGE),
    (errors.NameConflictError, ExitCode.USAGE),
    (errors.PathNotFoundError, ExitCode.NOT_FOUND),
    (errors.NotReadableError, ExitCode.NOT_FOUND),
    (errors.NotWritableError, ExitCode.NOT_FOUND),
    (errors.NameNotFoundError, ExitCode.NOT_FOUND),
    (errors.CkptfmtError, ExitCode.DAMAGED),
    (OSError, ExitCode.NOT_FOUND),
    (MemoryError, ExitCode.NOT_FOUND),
)
"""Exit code of each class of errors. The first that fits counts, so subclasses come before their bases."""

_FIELDS = (
    *("stored", "computed", "wanted", "available", "limit", "asked", "package", "extra"),
    *("name", "close_matches", "tried", "node", "step"),
)
"""Attributes of errors that JSON shows, if an error has them."""


_OPTIONS = {
    "overwrite=True": "--overwrite",
    "keep_rest=True": "--keep-rest",
    "to_frozen()": "--frozen",
    "cast= or exclude=": "--cast or --exclude",
    "model_only=True, exclude= or plan=": "--model-only, --exclude or --plan",
    "pass select= with the matrices": "pass --select with the matrices",
    "and cast= if": "and --cast if",
    "pass max_shard_bytes": "pass --max-shard-size",
    "pass config=": "pass --config",
    "as config=": "as --config",
}
"""What the library advises to pass or to call, and the option that does so on the command line."""


def code_of(error: BaseException) -> ExitCode:
    """Return the exit code for one of :data:`FAILURES`."""
    return next(code for cls, code in _CODES if isinstance(error, cls))


def with_options(text: str) -> str:
    """Return a text of the library in which arguments that it advises to pass are options."""
    for python, option in _OPTIONS.items():
        text = text.replace(python, option)
    return text


def message_of(error: BaseException) -> str:
    """Return what an error says, in the form of this package's own errors also if Python raised it."""
    if isinstance(error, errors.CkptfmtError):
        return with_options(str(error)) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


def describe(error: BaseException) -> dict[str, object]:
    """Return an error for JSON: type, message, file, offset, and the other values that it carries."""
    fields: dict[str, object] = {
        "type": type(error).__name__,
        "message": message_of(error),
        "file": getattr(error, "file", None) or getattr(error, "filename", None),
        "offset": getattr(error, "offset", None),
    }
    values = ((field, getattr(error, field, None)) for field in _FIELDS)
    return fields | {field: value for field, value in values if value is not None}


def report(error: BaseException, *, as_json: bool) -> ExitCode:
    """Report a failure on one line of stderr, and with ``--json`` also on stdout; return its exit code."""
    complain(message_of(error))
    if as_json:
        write_json({"error": describe(error)})
    return code_of(error)


class Problems:
    """Failures of parts while the rest is shown: each is reported at once; the exit code comes at the end."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        """Whether the first failure ends the command."""
        self.code = ExitCode.FINE
        """The exit code of the command: the highest one of all failures."""

    def report(self, error: BaseException, place: str) -> None:
        """Report one of :data:`FAILURES` in a file or directory, or raise it if this is strict."""
        if self.strict:
            raise error
        message = message_of(error)
        knows_place = getattr(error, "file", None) or place in message
        complain(message if knows_place else f"{place}: {message}")
        self.code = max(self.code, code_of(error))

    def report_damage(self, message: str) -> None:
        """Report damage that a reader skipped."""
        complain(message)
        self.code = max(self.code, ExitCode.DAMAGED)
