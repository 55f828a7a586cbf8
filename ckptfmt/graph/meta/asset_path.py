"""Assets: files that a graph reads, below the directory ``assets`` of its SavedModel.

A SavedModel lists each file with the tensor that holds its path. The path that the file was written with is
that of the machine that exported the model; TensorFlow feeds the tensor when it loads the model.

Source: TensorFlow ``python/saved_model/loader_impl.py: get_asset_tensors``.
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath, PureWindowsPath

from ckptfmt.errors import CorruptError

ASSETS = "assets"
"""The directory of the files that a graph reads."""


def asset_path(directory: str, filename: str, file: str) -> str:
    """Return the path of an asset of the model in a directory.

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
