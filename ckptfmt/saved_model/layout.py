"""The directory of a SavedModel: which of its entries are whose, and which directories may be replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ckptfmt.checkpoint.find import SAVED_MODEL_PREFIX
from ckptfmt.errors import AlreadyExistsError
from ckptfmt.filenames import SAVED_MODEL_FILES
from ckptfmt.graph.meta.asset_path import ASSETS
from ckptfmt.saved_model.assets import ASSETS_EXTRA
from ckptfmt.saved_model.fingerprint import FINGERPRINT_FILE
from ckptfmt.saved_model.keras_layers import KERAS_METADATA_FILE
from ckptfmt.storage.filesystem import Filesystem, walk
from ckptfmt.storage.temporary import is_temporary
from ckptfmt.text.quoting import listed

CHECKPOINT_DIRECTORY, _ = os.path.split(SAVED_MODEL_PREFIX)
"""The directory of the checkpoint."""

DEBUG = "debug"
"""The directory of what TensorFlow knows about the program that exported the model."""

_OWN = {
    *SAVED_MODEL_FILES,
    *(
        CHECKPOINT_DIRECTORY,
        ASSETS,
        ASSETS_EXTRA,
        DEBUG,
        FINGERPRINT_FILE,
        KERAS_METADATA_FILE,
        "tfhub_module.pb",
    ),
}
"""What the directory of a SavedModel has."""


def check_replaceable(fs: Filesystem, directory: str, new: Iterable[str] = ()) -> None:
    """Raise AlreadyExistsError unless a directory has nothing but a SavedModel, which may be replaced.

    ``new`` are other names that the directory which replaces it has too. So a wrong path costs nobody their
    files.
    """
    listing = fs.list_directory(directory)
    names = {name for name in (*listing.files, *listing.directories) if not is_temporary(name)}
    if names and not names & set(SAVED_MODEL_FILES):
        what = "directory without a SavedModel, and overwrite=True replaces nothing else"
        raise AlreadyExistsError(directory, what)
    others = sorted(names - _OWN - set(new))
    if others:
        what = f"directory has more than a SavedModel, and would be replaced: move {listed(others)} away"
        raise AlreadyExistsError(directory, what)


def model_files(fs: Filesystem, directory: str) -> Iterator[str]:
    """Iterate over the files of a model by their paths in its directory, with slashes.

    Links to directories are followed, each directory once, so that the walk ends.
    """
    waiting = [directory]
    seen: set[str] = set()
    while waiting:
        for folder, listing in walk(fs, waiting.pop()):
            for name in listing.files:
                if not is_temporary(name):
                    yield os.path.relpath(os.path.join(folder, name), directory).replace(os.sep, "/")
            for name in listing.directories:
                target = fs.link_target(os.path.join(folder, name))
                if target is not None and target not in seen:
                    seen.add(target)
                    waiting.append(os.path.join(folder, name))
