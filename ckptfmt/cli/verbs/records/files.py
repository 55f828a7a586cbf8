"""Files of records as the command line reads them: in order, with what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from ckptfmt.cli.failures import FAILURES, Problems, describe
from ckptfmt.cli.options import given_limits
from ckptfmt.cli.render.output import note
from ckptfmt.cli.render.text import size_text
from ckptfmt.cli.verbs.records.summary import Summary
from ckptfmt.record.batch import Record
from ckptfmt.record.damage import Damage
from ckptfmt.record.input import Source
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.local import LOCAL

REPORTED = 10
"""Stretches of damage in a file that are reported one by one."""


@dataclass
class RecordFile:
    """A file, and what was found in it."""

    path: str
    is_alone: bool
    """Whether it is the only file: if it cannot be read, nothing is left to show."""
    size: int = 0
    compression: str | None = None
    records: int = 0
    damage: list[Damage] = field(default_factory=list)
    tail: int = 0
    """Bytes of an incomplete last record."""
    error: BaseException | None = None
    """Why it cannot be read."""
    summary: Summary = field(default_factory=Summary)

    @property
    def content(self) -> str:
        """What its records hold: ``Example``, or each kind with its number."""
        kinds = self.summary.kinds
        return ", ".join(f"{kinds[kind]} {kind}" if len(kinds) > 1 else kind for kind in kinds) or "-"

    def to_json(self) -> dict[str, object]:
        """Return the file for JSON."""
        described: dict[str, object] = {
            "file": self.path,
            "records": self.records,
            "bytes": self.size,
            "compression": self.compression,
            "content": dict(self.summary.kinds),
            "damage": [
                {"offset": each.offset, "skipped": each.skipped, "error": describe(each.error)}
                for each in self.damage
            ],
            "incomplete": self.tail,
        }
        return described if self.error is None else described | {"error": describe(self.error)}

    def read(self, problems: Problems) -> Iterator[Record]:
        """Iterate over the records; what is wrong is reported, or raised if that is strict."""
        try:
            with closing(Source(self.path, LOCAL)) as source:
                # Damage is reported from the list, so warnings would repeat it.
                reader = RecordReader(
                    source, strict=problems.strict, limit=given_limits().record, on_damage=lambda damage: None
                )
                self.compression, self.size = reader.compression, source.progress[1]
                self.damage = reader.damage
                for record in reader.records():
                    self.records += 1
                    yield record
                self.tail = reader.tail
        except FAILURES as error:
            if self.is_alone:
                raise
            self.error = error
            problems.report(error, self.path)
        finally:
            # The caller may have enough before the end.
            self._report(problems)

    def _report(self, problems: Problems) -> None:
        for damage in islice(self.damage, REPORTED):
            problems.report_damage(str(damage))
        if len(self.damage) > REPORTED:
            problems.report_damage(f"{self.path}: {len(self.damage) - REPORTED} more damaged stretches")
        if self.tail:
            size = size_text(self.tail)
            note(f"{self.path}: the last record is incomplete ({size}): a program may still be writing it")
