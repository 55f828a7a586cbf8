"""Conversions: what one has written."""

from __future__ import annotations

from dataclasses import dataclass

from ckptfmt.notebook.card import Card
from ckptfmt.notebook.page import to_html
from ckptfmt.text.printing import size_text


@dataclass(frozen=True)
class Conversion:
    """What :func:`ckptfmt.convert` has written."""

    files: tuple[str, ...]
    """Paths of the files or the directory, the one to open first."""
    format: str
    """The format of the target: ``"safetensors"``."""
    tensors: tuple[str, ...]
    """Names of the tensors in the target."""
    nbytes: int
    """Bytes of their values."""
    is_verified: bool = False
    """Whether the target was read back and equals the source."""
    remarks: tuple[str, ...] = ()
    """What else is worth knowing, such as that an earlier conversion could not be resumed."""

    def _repr_html_(self) -> str:
        return to_html(self._card)

    def _card(self) -> Card:
        return Card(
            "Conversion",
            self.files[0],
            [
                ("format", self.format),
                ("files", len(self.files)),
                ("tensors", len(self.tensors)),
                ("bytes", size_text(self.nbytes)),
                ("verified", "yes" if self.is_verified else "no"),
                *(("remark", each) for each in self.remarks),
            ],
        )
