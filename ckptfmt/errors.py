"""Every error this package raises.

::

    CkptfmtError(Exception)
    ├── CorruptError(CkptfmtError, ValueError)                 bytes break the format
    │   ├── ChecksumError                                      stored and computed checksums differ
    │   └── TruncatedError                                     the file ends before the format does
    ├── UnsupportedError(CkptfmtError, NotImplementedError)    valid, but not handled here
    ├── LimitError(CkptfmtError, ValueError)                   a file requires too much memory or work
    ├── MissingDependencyError(CkptfmtError, ImportError)      an optional package is not installed
    ├── PathNotFoundError(CkptfmtError, FileNotFoundError)     no file or directory at a path
    │   └── CheckpointNotFoundError                            no checkpoint, or not all of its files
    ├── AlreadyExistsError(CkptfmtError, FileExistsError)      a writer would replace a file
    ├── NotReadableError(CkptfmtError, OSError)                the operating system refuses to read a file
    ├── NotWritableError(CkptfmtError, OSError)                the operating system refuses to write a file
    ├── NameNotFoundError(CkptfmtError, KeyError)              no node, tag, signature, … of that name
    │   └── TensorNotFoundError                                no tensor of that name
    ├── NameConflictError(CkptfmtError, ValueError)            one name for several tensors
    ├── NotConsumedError(CkptfmtError, AssertionError)         a restore left something out
    ├── ConversionError(CkptfmtError, TypeError)               a format cannot hold some tensors
    ├── PlanError(CkptfmtError, ValueError)                    a plan is invalid, or does not fit
    └── GraphError(CkptfmtError, ValueError)                   a graph is not what an operation needs

A caller can catch either::

    try:
        weights = ckptfmt.open(path)["dense/kernel"]
    except ckptfmt.errors.CkptfmtError as error:    # all of them
        ...
    except KeyError as error:                       # or Python's own family
        ...

Every error has ``.what``, ``.file`` and ``.offset``, and its message consists of them:
``file @0xOFFSET: what: got …, want …``. Other values in a message are attributes too.

Damage that does not stop reading is a warning: :class:`DamageWarning`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TypeVar

from ckptfmt.text.closest import did_you_mean
from ckptfmt.text.quoting import listed

_E = TypeVar("_E", bound="CkptfmtError")

_LISTED = 20
"""Names that a message lists. The error itself has all of them."""


class CkptfmtError(Exception):
    """Base class of every error of this package.

    Code that sees only bytes raises an error with an offset relative to them, or with none. The caller who
    knows where the bytes come from adds that with :meth:`at`.
    """

    def __init__(self, what: str, *, file: str | None = None, offset: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        """What is wrong, without where."""
        self.file = file
        """The file or directory; None if the error is not about one, or only bytes were given."""
        self.offset = offset
        """Byte offset in the file; None if the error has no single place."""

    def at(self: _E, file: str, base: int | None = None, *, label: str = "", relative: bool = True) -> _E:
        """Set the file and offset of the error, and return it; an error that has a file keeps its own.

        Parameters
        ----------
        file
            The file that the bytes come from.
        base
            Offset in the file of the first of these bytes, from which the error counts. None if that is not
            known: the error then loses its offset.
        label
            A description of the bytes, which is always put before :attr:`what`.
        relative
            Whether the error's own offset counts from ``base``. False if it counts in something decoded from
            these bytes: the error is then at ``base``.
        """
        # The innermost caller knows best: a place already known stays, and only labels add up.
        if self.file is None:
            self.file = file
            own = (self.offset or 0) if relative else 0
            self.offset = None if base is None else base + own
        if label:
            self.what = f"{label}: {self.what}"
        return self

    def __str__(self) -> str:
        place = self.file or ""
        if self.offset is not None:
            place += f"{' ' if place else ''}@0x{self.offset:x}"
        return f"{place}: {self.what}" if place else self.what

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        # The default rebuilds an exception as cls(*args), which does not fit the signatures below; errors of
        # worker processes arrive pickled.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[CkptfmtError], args: tuple[object, ...], state: dict[str, object]) -> CkptfmtError:
    """Make an unpickled error without calling its ``__init__``."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class CorruptError(CkptfmtError, ValueError):
    """The bytes of a file break its format."""

    def within(self: _E, file: str, base: int = 0) -> _E:
        """Place the error as :meth:`at` does. This is the old name, and warns."""
        warnings.warn("CorruptError.within is now CorruptError.at", DeprecationWarning, stacklevel=2)
        return self.at(file, base)


class ChecksumError(CorruptError):
    """A stored checksum differs from the one computed over the bytes it covers."""

    def __init__(
        self, what: str, *, stored: int, computed: int, file: str | None = None, offset: int | None = None
    ) -> None:
        super().__init__(
            f"{what}: stored 0x{stored:08x}, computed 0x{computed:08x}", file=file, offset=offset
        )
        self.stored = stored
        """The checksum in the file: an unmasked CRC-32C or, in split SavedModels, a HighwayHash."""
        self.computed = computed
        """The checksum computed from the bytes it covers."""


class TruncatedError(CorruptError):
    """A file, or a structure in it, ends before it should."""

    def __init__(
        self, what: str, *, wanted: int, available: int, file: str | None = None, offset: int | None = None
    ) -> None:
        super().__init__(f"{what}: got {available} bytes, want {wanted}", file=file, offset=offset)
        self.wanted = wanted
        """Bytes needed from the offset on."""
        self.available = available
        """Bytes that exist from there on."""


class UnsupportedError(CkptfmtError, NotImplementedError):
    """A file is apparently valid, but this version, or the function that was called, does not handle it."""


class LimitError(CkptfmtError, ValueError):
    """A file requires more than a limit allows, or more memory than the machine has."""

    def __init__(
        self,
        what: str,
        *,
        limit: int,
        asked: int,
        field: str | None = None,
        file: str | None = None,
        offset: int | None = None,
    ) -> None:
        # Memory may be short although the machine has more: other processes use it too.
        short = f"exceeds the limit of {limit}" if asked > limit else f"not available, with {limit} in all"
        field_note = "" if field is None else f" (Limits.{field})"
        super().__init__(f"{what}: {asked} {short}{field_note}", file=file, offset=offset)
        self.field = field
        """The field of :class:`ckptfmt.Limits` to raise; None if it is not one of these."""
        self.limit = limit
        """The most that is allowed."""
        self.asked = asked
        """What the file requires."""


class MissingDependencyError(CkptfmtError, ImportError):
    """An optional package that is needed is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}: pip install 'ckptfmt[{extra}]'")
        self.package = package
        """The package that could not be imported."""
        self.extra = extra
        """The extra of ckptfmt that installs it."""


class PathNotFoundError(CkptfmtError, FileNotFoundError):
    """A file or directory does not exist."""

    def __init__(self, what: str, *, file: str | None = None, tried: Sequence[str] = ()) -> None:
        super().__init__(what, file=file)
        self.tried = tuple(tried) or (() if file is None else (file,))
        """The paths that were tried, in that order."""


class CheckpointNotFoundError(PathNotFoundError):
    """A path does not lead to a checkpoint, or one of the checkpoint's files is missing."""


class AlreadyExistsError(CkptfmtError, FileExistsError):
    """A writer would replace a file, and the caller did not allow that."""

    def __init__(self, file: str, what: str = "file exists; pass overwrite=True to replace it") -> None:
        super().__init__(what, file=file)


class NotReadableError(CkptfmtError, OSError):
    """The operating system refuses to open or read a file: permissions, I/O errors, a directory, a pipe."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(reason, file=file)


class NotWritableError(CkptfmtError, OSError):
    """The operating system refuses to write a file: permissions, a missing directory, a full disk."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(reason, file=file)


class NameNotFoundError(CkptfmtError, KeyError):
    """A name, or each of several, does not exist: that of a node, a tag, a signature or the like."""

    def __init__(
        self,
        name: str,
        *,
        file: str,
        noun: str,
        close_matches: Sequence[str] = (),
        names: Sequence[str] = (),
        what: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Name what was not found; ``hint`` ends the message instead of the close matches."""
        self.names = tuple(names) or (name,)
        """All the names that were not found."""
        self.name = name
        """The name asked for, or the first of several."""
        self.close_matches = tuple(close_matches)
        """Existing names that look like it, best first."""
        if what is None:
            nouns = noun if len(self.names) == 1 else f"{noun}s"
            what = f"no {nouns} named {listed(self.names, _LISTED)}"
        super().__init__(f"{what}{did_you_mean(close_matches) if hint is None else hint}", file=file)


class TensorNotFoundError(NameNotFoundError):
    """A tensor, or each of several, does not exist."""

    def __init__(
        self,
        name: str,
        *,
        file: str,
        close_matches: Sequence[str] = (),
        names: Sequence[str] = (),
        noun: str = "tensor",
        what: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            name, file=file, noun=noun, close_matches=close_matches, names=names, what=what, hint=hint
        )


class NameConflictError(CkptfmtError, ValueError):
    """One name would refer to several tensors, or to both a tensor and a scope of others."""

    def __init__(self, what: str, *, names: Mapping[str, Sequence[str]], file: str | None = None) -> None:
        self.names = {name: tuple(claims) for name, claims in names.items()}
        """Each such name, and all that claim it; a message shows three for each."""
        pairs = [f"{name!r} by {', '.join(map(repr, claims[:3]))}" for name, claims in self.names.items()]
        super().__init__(f"{what}: {listed(pairs, _LISTED, quote=str)}", file=file)


class NotConsumedError(CkptfmtError, AssertionError):
    """A restore left something out: tensors that are missing, do not fit, or are unused."""


class PlanError(CkptfmtError, ValueError):
    """A plan is invalid, or does not fit the tensors that it is applied to."""

    def __init__(self, what: str, *, file: str | None = None, step: int | None = None) -> None:
        super().__init__(what, file=file)
        self.step = step
        """Number of the step, from 1; None if the error is not about one."""

    def __str__(self) -> str:
        step = [] if self.step is None else [f"step {self.step}"]
        return ": ".join([*([self.file] if self.file else []), *step, self.what])


class ConversionError(CkptfmtError, TypeError):
    """A format cannot hold some tensors; nothing has been written."""

    def __init__(
        self,
        format: str,  # noqa: A002
        problems: Mapping[str, str],
        *,
        file: str | None = None,
        advice: str = "pass cast= or exclude=",
    ) -> None:
        by_reason: dict[str, list[str]] = {}
        for name, why in problems.items():
            by_reason.setdefault(why, []).append(name)
        reasons = "; ".join(f"{why}: {listed(names)}" for why, names in by_reason.items())
        super().__init__(f"{format} cannot hold all tensors ({reasons}): {advice}", file=file)
        self.format = format
        """The format."""
        self.problems = dict(problems)
        """Why each tensor cannot be held, by name."""


class GraphError(CkptfmtError, ValueError):
    """A graph does not have what the operation needs."""

    def __init__(
        self,
        what: str,
        *,
        node: str | None = None,
        file: str | None = None,
        close_matches: Sequence[str] = (),
    ) -> None:
        what = f"{what}{did_you_mean(close_matches)}"
        super().__init__(what if node is None else f"node {node!r}: {what}", file=file)
        self.node = node
        """Name of the node concerned; None if the error is not about one."""
        self.close_matches = tuple(close_matches)
        """Names in the graph that look like it, best first."""


class DamageWarning(UserWarning):
    """Damage in a file of records was skipped; the message says where, and how many bytes."""


class FreezeWarning(UserWarning):
    """A frozen graph starts without something that it reads; the message names the node that has it."""


def __dir__() -> list[str]:
    """List the errors and warnings only, for completion."""
    classes = (value for value in globals().values() if isinstance(value, type))
    return [cls.__name__ for cls in classes if cls.__module__ == __name__]
