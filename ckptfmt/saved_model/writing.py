"""Writing SavedModels: an edited model goes to a new directory, and only what has changed is written anew.

The system links or copies the files that no edit touches. So changing a signature takes the time that the
graph takes, even if the model has gigabytes of variables.
"""

from __future__ import annotations

import os

from google.protobuf.message import EncodeError

from ckptfmt.checkpoint.checkpoint_writer import CheckpointWriter
from ckptfmt.checkpoint.find import SAVED_MODEL_PREFIX
from ckptfmt.errors import NotWritableError
from ckptfmt.filenames import INDEX_SUFFIX, SAVED_MODEL_FILES
from ckptfmt.graph.meta.asset_path import ASSETS
from ckptfmt.graph.tensor_content import MAX_BYTES
from ckptfmt.proto import messages
from ckptfmt.proto.parse import format_text
from ckptfmt.riegeli.split_writer import write_split_message
from ckptfmt.saved_model.draft import Draft, NewFile, NewTensor
from ckptfmt.saved_model.fingerprint import FINGERPRINT_FILE, compute_fingerprint, encode_fingerprint
from ckptfmt.saved_model.layout import CHECKPOINT_DIRECTORY, check_replaceable, model_files
from ckptfmt.storage.filesystem import Filesystem, read_small_file
from ckptfmt.storage.local import LocalFilesystem, real_path
from ckptfmt.storage.output.directory import OutputDirectory, create_directory

BINARY_FILE, TEXT_FILE, SPLIT_FILE = SAVED_MODEL_FILES

MAX_FINGERPRINTED = 64 << 20
"""Bytes of the largest message that gets a fingerprint: hashing one takes 60 ms for each megabyte."""


def write_draft(draft: Draft, directory: str, *, overwrite: bool, link: bool, fs: Filesystem) -> None:
    """Write an edited model.

    Raises
    ------
    AlreadyExistsError
        The directory exists, and ``overwrite`` is not given; or it has more than a SavedModel.
    NotWritableError
        The system refuses, or the directory is within that of the model.
    """
    source = draft.model
    files = list(model_files(source._fs, source.directory))
    _check_apart(source.directory, source._fs, directory, fs)
    taken = [name for name in files if not _is_stale(draft, name)]
    tops = {name.partition("/")[0] for name in taken}
    with create_directory(
        fs, directory, overwrite=overwrite, check=lambda: check_replaceable(fs, directory, tops)
    ) as output:
        for name in taken:
            # People edit vocabularies in place, but no program changes a data file of a checkpoint.
            may_link = link and name.startswith(f"{CHECKPOINT_DIRECTORY}/")
            output.take(source._fs, os.path.join(source.directory, name), name, link=may_link)
        write_assets(output, draft.assets)
        if draft.tensors:
            write_tensors(output, draft.tensors)
        for name in (CHECKPOINT_DIRECTORY, ASSETS):
            output.make_directory(name)  # TensorFlow makes them even if they are empty
        if FINGERPRINT_FILE in files and FINGERPRINT_FILE not in taken:
            write_fingerprint(output, draft.message)
        if draft.is_edited:
            write_message(output, draft.message, as_text=os.path.basename(source.file) == TEXT_FILE)
        else:
            name = os.path.basename(source.file)
            name = name if name in SAVED_MODEL_FILES else BINARY_FILE
            output.take(source._fs, source.file, name, link=False)


def write_fingerprint(output: OutputDirectory, message: messages.SavedModel) -> None:
    """Write the fingerprint of a model whose checkpoint is written, unless that takes long."""
    size = size_of(message)
    if size is None or size > MAX_FINGERPRINTED:
        return
    index = output.path(f"{SAVED_MODEL_PREFIX}{INDEX_SUFFIX}")
    data = None
    if output.fs.path_type(index) == "file":
        data = read_small_file(output.fs, index, limit=MAX_BYTES, what="an index")
    fingerprint = compute_fingerprint(message, data)
    if fingerprint is not None:
        with output.create(FINGERPRINT_FILE) as file:
            file.write(encode_fingerprint(fingerprint))


def write_message(output: OutputDirectory, message: messages.SavedModel, *, as_text: bool = False) -> None:
    """Write the message of a model, last: it makes the directory a SavedModel.

    Its keys of maps are sorted, so that the same edits give the same bytes. One of 2 GiB or more, which
    protobuf does not serialize, becomes a split proto.
    """
    if size_of(message) is None:
        with output.create(SPLIT_FILE) as file:
            write_split_message(file, message)
    elif as_text:
        with output.create(TEXT_FILE) as file:
            file.write(format_text(message).encode())
    else:
        with output.create(BINARY_FILE) as file:
            file.write(message.SerializeToString(deterministic=True))


def size_of(message: messages.SavedModel) -> int | None:
    """Return the bytes of a serialized message, None if it takes 2 GiB or more."""
    try:
        size = message.ByteSize()
    except EncodeError:
        return None
    return size if size < MAX_BYTES else None


def write_tensors(output: OutputDirectory, tensors: dict[str, NewTensor]) -> None:
    """Write the checkpoint; a variable that was stored in slices is stored in the same ones."""
    with CheckpointWriter(output.path(SAVED_MODEL_PREFIX), fs=output.fs) as writer:
        for name, tensor in tensors.items():
            array = tensor.values[tensor.name]
            for part in tensor.slices:
                region = tuple(slice(start, stop) for start, stop in part.region(array.shape))
                writer.add_slice(name, array.shape, part, array[region], dtype=tensor.dtype)
            if not tensor.slices:
                writer.add(name, array, dtype=tensor.dtype)


def write_assets(output: OutputDirectory, assets: dict[str, NewFile]) -> None:
    """Write files of the directory ``assets``."""
    for name, new in assets.items():
        if new.fs is not None:
            output.take(new.fs, new.path, f"{ASSETS}/{name}", link=False)
            continue
        with output.create(f"{ASSETS}/{name}") as file:
            file.write(new.data)


def _is_stale(draft: Draft, name: str) -> bool:
    """Whether a file of the model is not taken over: it is written anew, or no longer says what is true."""
    first, _, rest = name.partition("/")
    if name in SAVED_MODEL_FILES or name == os.path.basename(draft.model.file):
        return True
    if name == FINGERPRINT_FILE:
        return draft.is_edited or draft.tensors is not None
    if first == CHECKPOINT_DIRECTORY and draft.tensors is not None:
        return True
    return first in draft.left_out or (first == ASSETS and rest in draft.assets)


def _check_apart(source: str, source_fs: Filesystem, target: str, fs: Filesystem) -> None:
    """Raise NotWritableError if a directory is within that of the model, which never changes.

    The directory itself may be replaced: the new one is whole by then.
    """
    if isinstance(fs, LocalFilesystem) and isinstance(source_fs, LocalFilesystem):
        old, new = real_path(source, source_fs), real_path(target, fs)
    elif fs is source_fs:
        # Its files are replaced one by one, so the model would not be whole while they are.
        old, new = (os.path.normpath(path) for path in (source, target))
        if old == new:
            raise NotWritableError(target, "this is the model that is read; write another directory")
    else:
        return
    if new.startswith(old.rstrip("/") + os.sep):
        raise NotWritableError(target, "this is within the model that is read; write another directory")
