"""Assets: files that a model's graph reads, in the directory ``assets``."""

from __future__ import annotations

import os
from pathlib import PurePosixPath, PureWindowsPath
from typing import NamedTuple, NoReturn

from ckptfmt.errors import CorruptError, NameNotFoundError
from ckptfmt.text.closest import closest_names

ASSETS = "assets"
"""The directory of the files that a graph reads."""

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


class AssetFiles(dict[str, AssetFile]):
    """The files that a graph reads, by name."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file

    def __missing__(self, name: str) -> NoReturn:
        """Raise NameNotFoundError, a KeyError, for a name that ``[]`` does not find."""
        raise NameNotFoundError(name, file=self._file, noun="asset", close_matches=closest_names(name, self))

    def __reduce__(self) -> tuple[object, ...]:
        # As pickle copies a dict, but with the argument of __init__.
        return AssetFiles, (self._file,), None, None, iter(self.items())


def asset_path(directory: str, filename: str, file: str) -> str:
    """Return the path of an asset of a model.

    Raises CorruptError if the name leads out of the directory, on any system: a model may come from anywhere,
    and its assets may be copied.
    """
    # Checked by the rules of both systems: C:x and ..\x are plain names on POSIX, but not on Windows.
    parts = PurePosixPath(filename).parts
    windows = PureWindowsPath(filename)
    if (
        not parts
        or "\x00" in filename
        or filename.startswith("/")
        or windows.drive
        or windows.root
        or ".." in (*parts, *windows.parts)
    ):
        raise CorruptError(f"asset {filename!r} leads out of the model", file=file)
    return os.path.join(directory, ASSETS, *parts)
