"""Assets: files that a model's graph reads, in the directory ``assets``."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from ckptfmt.errors import NameNotFoundError
from ckptfmt.notebook.card import Card
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.saved_model.cards import assets_table
from ckptfmt.text.closest import closest_names

ASSETS_EXTRA = "assets.extra"
"""The directory of files that the user added."""


class AssetFile(NamedTuple):
    """A file that a graph reads."""

    filename: str
    """Its name below ``assets``."""
    tensor: str
    """The tensor, ``node:k``, that its path is fed to."""
    path: str
    """Path of the file."""
    exists: bool
    """Whether the file exists."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "AssetFile", self.filename))


class AssetFiles(dict[str, AssetFile]):
    """The files that a graph reads, by name."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file

    def __missing__(self, name: str) -> NoReturn:
        """Raise NameNotFoundError, a KeyError, for a name that ``[]`` does not find."""
        raise NameNotFoundError(name, file=self._file, noun="asset", close_matches=closest_names(name, self))

    def _repr_html_(self) -> str:
        table = assets_table(lambda: self)._replace(is_open=True)
        return to_html(lambda: Card("AssetFiles", self._file, parts=[table]))

    def __reduce__(self) -> tuple[object, ...]:
        # As pickle copies a dict, but with the argument of __init__.
        return AssetFiles, (self._file,), None, None, iter(self.items())
