"""Every error this package raises.

::

    CkptfmtError(Exception)
    ├── CorruptError(CkptfmtError, ValueError)                 bytes break the format
    │   ├── ChecksumError                                      stored and computed checksums differ
    │   └── TruncatedError                                     the file ends before the format does
    ├── UnsupportedError(CkptfmtError, NotImplementedError)    valid, but not handled here
    ├── LimitError(CkptfmtError, ValueError)                   a file asks for more than the caller allows
    ├── MissingDependencyError(CkptfmtError, ImportError)      an optional package is not installed
    ├── CheckpointNotFoundError(CkptfmtError, FileNotFoundError)
    ├── NotReadableError(CkptfmtError, OSError)                the operating system refuses a file
    ├── TensorNotFoundError(CkptfmtError, KeyError)
    ├── NameConflictError(CkptfmtError, ValueError)            one name for several tensors
    ├── NotConsumedError(CkptfmtError, AssertionError)         a restore left something out
    ├── PlanError(CkptfmtError, ValueError)                    a plan makes no sense, or does not fit
    └── GraphError(CkptfmtError, ValueError)

So a caller writes either of::

    try:
        weights = ckptfmt.open(path)["dense/kernel"]
    except ckptfmt.errors.CkptfmtError as error:    # all of them
        ...
    except KeyError as error:                       # or Python's own family
        ...

Messages read ``file @0xOFFSET: what: got …, want …``; what they say is also in fields.

What does not stop reading is a warning: :class:`DamageWarning`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

_C = TypeVar("_C", bound="CorruptError")


class CkptfmtError(Exception):
    """Base class of every error of this package."""

    def __reduce__(self) -> tuple[object, ...]:
        # The default rebuilds an exception as cls(*args), which does not fit the signatures below;
        # worker processes need errors that survive pickling.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[CkptfmtError], args: tuple[object, ...], state: dict[str, object]) -> CkptfmtError:
    """Make an unpickled error, without calling its ``__init__``."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class CorruptError(CkptfmtError, ValueError):
    """Bytes of a file break its format.

    Decoders that see only bytes raise it with an offset relative to these bytes; whoever knows
    where they came from adds that with :meth:`within`.
    """

    def __init__(self, what: str, *, file: str | None = None, offset: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        """What is wrong, without the place."""
        self.file = file
        """The file, or None where only bytes were given."""
        self.offset = offset
        """Byte offset in the file, or None where the error has no single place."""

    def within(self: _C, file: str, base: int = 0) -> _C:
        """Place the error in ``file``, its offset so far counted from byte ``base``; returns itself."""
        if self.file is None:
            self.file = file
            self.offset = base + (self.offset or 0)
        return self

    def __str__(self) -> str:
        place = self.file or ""
        if self.offset is not None:
            place += f"{' ' if place else ''}@0x{self.offset:x}"
        return f"{place}: {self.what}" if place else self.what


class ChecksumError(CorruptError):
    """A stored checksum is not that of the bytes it covers."""

    def __init__(
        self, what: str, *, stored: int, computed: int, file: str | None = None, offset: int | None = None
    ) -> None:
        super().__init__(
            f"{what}: stored 0x{stored:08x}, computed 0x{computed:08x}", file=file, offset=offset
        )
        self.stored = stored
        """The checksum in the file: a CRC-32C, unmasked, or in split SavedModels a HighwayHash."""
        self.computed = computed
        """The checksum of the bytes that are there."""


class TruncatedError(CorruptError):
    """A file or a structure in it ends before what it announces."""

    def __init__(
        self, what: str, *, wanted: int, available: int, file: str | None = None, offset: int | None = None
    ) -> None:
        super().__init__(f"{what}: want {wanted} bytes, got {available}", file=file, offset=offset)
        self.wanted = wanted
        """Bytes needed."""
        self.available = available
        """Bytes there."""


class UnsupportedError(CkptfmtError, NotImplementedError):
    """Valid, as far as can be told, but not handled by this version, or not by what was asked."""

    def __init__(self, what: str, *, file: str | None = None) -> None:
        super().__init__(what)
        self.file = file
        """The file or directory, where the error is about one as a whole."""


class LimitError(CkptfmtError, ValueError):
    """A file asks for more than the caller allows."""

    def __init__(self, what: str, *, limit: int, asked: int) -> None:
        super().__init__(f"{what}: asks for {asked}, the limit is {limit}")
        self.limit = limit
        """What is allowed."""
        self.asked = asked
        """What the file asks for."""


class MissingDependencyError(CkptfmtError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}: pip install 'ckptfmt[{extra}]'")
        self.package = package
        """The package that could not be imported."""
        self.extra = extra
        """The extra of ckptfmt that installs it."""


class CheckpointNotFoundError(CkptfmtError, FileNotFoundError):
    """No checkpoint, or no file of one, where it was looked for."""

    def __init__(self, what: str, *, tried: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.tried = tuple(tried)
        """The paths that were looked at, in that order."""

    def __str__(self) -> str:
        return str(self.args[0])


class NotReadableError(CkptfmtError, OSError):
    """The operating system refuses to open or read a file (permissions, I/O errors)."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        """The file."""

    def __str__(self) -> str:
        return str(self.args[0])


_LISTED = 20
"""Names that a message lists; the error has all of them."""


def _listed(names: Iterable[str]) -> str:
    """Names, or what stands for them, in a message."""
    shown = list(islice(names, _LISTED + 1))
    return ", ".join(shown[:_LISTED]) + (", …" if len(shown) > _LISTED else "")


class TensorNotFoundError(CkptfmtError, KeyError):
    """No tensor, node or key of that name, or of several names."""

    def __init__(
        self,
        name: str,
        *,
        file: str,
        close_matches: Sequence[str] = (),
        names: Sequence[str] = (),
        noun: str = "tensor",
    ) -> None:
        self.names = tuple(names) or (name,)
        """All the names that are not there."""
        self.name = name
        """The name asked for, of several the first."""
        self.close_matches = tuple(close_matches)
        """Names that are there and look alike, best first."""
        noun = noun if len(self.names) == 1 else f"{noun}s ({len(self.names)})"
        hint = f"; did you mean {' or '.join(map(repr, close_matches))}?" if close_matches else ""
        super().__init__(f"{file}: no {noun} {_listed(map(repr, self.names))}{hint}")

    def __str__(self) -> str:
        # KeyError would show the repr of its argument.
        return str(self.args[0])


class NameConflictError(CkptfmtError, ValueError):
    """One name would stand for several tensors, or for a tensor and for a scope of others."""

    def __init__(self, what: str, *, names: Mapping[str, Sequence[str]]) -> None:
        self.names = {name: tuple(claims) for name, claims in names.items()}
        """Each such name, and what claims it."""
        pairs = (f"{name!r} by {', '.join(map(repr, claims[:3]))}" for name, claims in self.names.items())
        super().__init__(f"{what}: {_listed(pairs)}")


class NotConsumedError(CkptfmtError, AssertionError):
    """A restore left something out: tensors wanted that are not there, or do not fit, or tensors unused."""


class PlanError(CkptfmtError, ValueError):
    """A plan makes no sense, or does not fit the tensors it is applied to."""

    def __init__(self, what: str, *, file: str | None = None, step: int | None = None) -> None:
        self.what = what
        """What is wrong, without the place."""
        self.file = file
        """The plan's file, or None where it has none."""
        self.step = step
        """Number of the step, from 1, or None where it is not about one."""
        place = ": ".join([*([file] if file else []), *([f"step {step}"] if step is not None else [])])
        super().__init__(f"{place}: {what}" if place else what)


class DamageWarning(UserWarning):
    """Part of a file of records is damaged and was skipped; its message says where and how much."""


class GraphError(CkptfmtError, ValueError):
    """A graph is not what the operation needs."""

    def __init__(self, what: str, *, node: str | None = None) -> None:
        super().__init__(what if node is None else f"node {node!r}: {what}")
        self.node = node
        """Name of the node concerned, or None."""
