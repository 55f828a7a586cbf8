"""Whether the index of an open checkpoint is still the one at its path.

Data files are opened when a tensor in them is read, which may be long after the index. A writer gives its
data files names that the index does not have, then switches the index, then removes the old data files. So a
data file that was opened belongs to an index that is in its place even after that.
"""

from __future__ import annotations

from contextlib import closing

from ckptfmt.errors import CkptfmtError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.wire.threads import cut

REPLACED = "the checkpoint has been replaced or removed since it was opened: open it again"


class IndexWatch:
    """Tells whether an index has been replaced or removed since it was opened."""

    def __init__(self, fs: Filesystem, path: str, file: RandomAccessFile) -> None:
        """Take an index that has just been opened."""
        self._fs, self._path, self._file = fs, path, file
        self._status = fs.status(path)

    def is_replaced(self) -> bool:
        """Whether another file is at the path of the index, or none; touching it does not replace it."""
        status = self._fs.status(self._path)
        if status == self._status:
            return False
        if status is None or not self._is_at_path():
            return True
        self._status = status
        return False

    def _is_at_path(self) -> bool:
        """Return whether the file at the path has the same content."""
        try:
            with closing(self._fs.open(self._path)) as file:
                return file.size == self._file.size and all(
                    file.read(*piece) == self._file.read(*piece) for piece in cut(0, file.size)
                )
        except CkptfmtError:
            return False
