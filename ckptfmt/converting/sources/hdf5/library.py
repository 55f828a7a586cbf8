"""h5py: imported in one place, with its errors as ours."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ckptfmt.errors import CkptfmtError, CorruptError, MissingDependencyError, UnsupportedError

try:
    h5py: Any = importlib.import_module("h5py")
except ModuleNotFoundError:
    raise MissingDependencyError("h5py", "hdf5") from None


@contextmanager
def errors_of_h5py(file: str, what: str) -> Iterator[None]:
    """Raise what h5py raises as CorruptError or UnsupportedError, with the file.

    For damaged files, h5py raises errors of nearly every class of Python, depending on what HDF5 was doing.
    """
    try:
        yield
    except CkptfmtError as error:
        raise error.at(file) from None
    except NotImplementedError as error:
        raise UnsupportedError(f"{what}: {error}", file=file) from error
    except Exception as error:
        if isinstance(error.__context__, CkptfmtError):
            raise error.__context__ from error
        raise CorruptError(f"{what}: {error}", file=file) from error
