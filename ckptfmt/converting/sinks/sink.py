"""What writes a format: it refuses what the format cannot hold, then writes all tensors in one go.

A module of this room serves one format and has one class that is a :class:`Sink`. Everything that might be
wrong is found before the first byte is written: names, dtypes and shapes are known by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing as Writing


class Sink(Protocol):
    """A format being written."""

    @property
    def format(self) -> str:
        """Its name: what ``--to`` takes."""

    @property
    def resumes(self) -> bool:
        """Whether :meth:`write` continues after what an earlier call noted; see :class:`Writing`."""

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor, in a few words: "no bfloat16"; None if it can."""

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return why the format cannot hold names that it can hold one by one, for each such tensor."""

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write all tensors, and return the paths of the files, the one to open first leading.

        Either everything appears or nothing does. Raises MissingDependencyError, AlreadyExistsError,
        NotWritableError, and what reading the tensors raises.
        """
