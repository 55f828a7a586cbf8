"""Reports: what verification finds in the files of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ckptfmt.errors import (
    ChecksumError,
    CkptfmtError,
    NotReadableError,
    PathNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.notebook.card import Card, Sentence, State, Table
from ckptfmt.notebook.page import to_html
from ckptfmt.text.printing import count_text, size_text

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes checked so far and the bytes to check in all."""

_KINDS: tuple[tuple[type[CkptfmtError], str], ...] = (
    (ChecksumError, "checksum"),
    (TruncatedError, "truncated"),
    (UnsupportedError, "unsupported"),
    (PathNotFoundError, "missing"),
    (NotReadableError, "unreadable"),
)
"""The kind of problem for each class of error; any other error is an ``entry``."""


MAX_PROBLEMS = 10_000
"""Problems that a report lists. A small file can have millions, and each one listed takes half a kilobyte."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error or warning."""

    severity: Literal["error", "warning"]
    """``error``: something cannot be read correctly. ``warning``: everything can, but this is odd."""
    kind: str
    """For errors ``block``, ``entry``, ``checksum``, ``truncated``, ``missing``, ``unreadable`` or
    ``unsupported``; for warnings ``overlap``, ``orphan`` or ``stale``."""
    message: str
    """What is wrong and where, in one line."""
    file: str | None = None
    """The file concerned."""
    offset: int | None = None
    """The byte in it, if there is a single one."""
    name: str | None = None
    """The tensor concerned."""

    def _repr_html_(self) -> str:
        state: State = "bad" if self.severity == "error" else ""
        return to_html(lambda: Card("Problem", self.kind, [("", Sentence(self.message))], state=state))


@dataclass
class Report:
    """The result of :meth:`Checkpoint.verify`."""

    problems: list[Problem] = field(default_factory=list)
    """The first 10,000, in the order in which they were found."""
    omitted: int = 0
    """Problems found after these."""
    damaged: set[str] = field(default_factory=set)
    """Names of the tensors that an error is about, all of them."""
    bytes_checked: int = 0
    """Bytes whose checksum was computed: table blocks and tensors."""
    tensors_checked: int = 0
    """Tensors whose every byte was checked."""
    tensors: int = 0
    """Tensors that the index names."""
    _has_errors: bool = field(default=False, init=False, repr=False)

    @property
    def ok(self) -> bool:
        """Whether every tensor can be read and every checksum matches; warnings do not count."""
        return not self._has_errors

    def __repr__(self) -> str:
        state = "ok" if self.ok else "not ok"
        return (
            f"<Report {state}: {self.tensors_checked} of {self.tensors} tensors, "
            f"{self.bytes_checked} bytes, {len(self.problems) + self.omitted} problems>"
        )

    def _card(self) -> Card:
        found = len(self.problems) + self.omitted
        facts = [
            ("verified", f"{self.tensors_checked:,} of {count_text(self.tensors, 'tensor')}"),
            ("bytes", size_text(self.bytes_checked)),
            ("damaged", len(self.damaged) or None),
            ("problems", found),
        ]
        problems = Table(
            "Problems",
            ("severity", "kind", "message"),
            lambda: self.problems,
            lambda each: (each.severity, each.kind, Sentence(each.message)),
            is_open=True,
        )
        state = "OK" if self.ok else "FAILED"
        return Card("Report", state, facts, [problems], "good" if self.ok else "bad")

    def _repr_html_(self) -> str:
        return to_html(self._card)

    def add(self, kind: str, error: CkptfmtError, name: str | None = None) -> None:
        """Note an error that stops something from being read."""
        if self._has_room("error", name):
            self.problems.append(Problem("error", kind, str(error), error.file, error.offset, name))

    def add_tensor(self, error: CkptfmtError, name: str) -> None:
        """Note an error in reading a tensor, under the kind of its class."""
        kind = next((kind for cls, kind in _KINDS if isinstance(error, cls)), "entry")
        self.add(kind, error, name)

    def add_missing(self, path: str, what: str, name: str | None = None) -> None:
        """Note a file that does not exist; ``what`` says which file it is and what was in it."""
        if self._has_room("error", name):
            self.problems.append(Problem("error", "missing", f"{path}: {what}", path, None, name))

    def warn(
        self, kind: str, message: str, file: str, offset: int | None = None, name: str | None = None
    ) -> None:
        """Note something odd that stops nothing from being read."""
        place = file if offset is None else f"{file} @0x{offset:x}"
        if self._has_room("warning", None):
            self.problems.append(Problem("warning", kind, f"{place}: {message}", file, offset, name))

    def _has_room(self, severity: Literal["error", "warning"], name: str | None) -> bool:
        """Count a problem, and return whether it is to be listed."""
        self._has_errors |= severity == "error"
        if name is not None:
            self.damaged.add(name)
        if len(self.problems) < MAX_PROBLEMS:
            return True
        self.omitted += 1
        return False
