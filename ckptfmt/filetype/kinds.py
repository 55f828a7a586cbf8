"""Kinds of files: what a file is, told by what is in it, and what reads it.

One who is given a file that it does not read says with :func:`refusal` what it is and what does read it;
somebody who opens an HDF5 file, or a Git LFS pointer, is helped by being told so.

Graphs, meta graphs and SavedModels have no magic number. They are told apart by their fields:

=====  ==================  =======================  ==================
field  GraphDef            MetaGraphDef             SavedModel
=====  ==================  =======================  ==================
1      node, many          meta_info_def, one       schema, a number
2      library             graph_def                meta_graphs
3      version, a number   saver_def
4      versions            collection_def: a map
5-7                        signature_def …
=====  ==================  =======================  ==================
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from enum import Enum
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias

from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.filenames import (
    DATA_SUFFIX,
    INDEX_SUFFIX,
    META_SUFFIX,
    SAVED_MODEL_FILES,
    STATE_FILE,
    V1_PATTERN_SUFFIX,
    V1_SHARD_SUFFIX,
    CheckpointNames,
)
from ckptfmt.riegeli.file import SIGNATURE
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.table import Table
from ckptfmt.table.format import FOOTER_SIZE, MAGIC_BYTES
from ckptfmt.wire.coding import Buffer, decode_varint
from ckptfmt.wire.crc32c import crc32c, mask
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, find_fields

HEAD_SIZE = 4096
"""As many first bytes of a file tell what it is, if it is no message."""

MAX_PARTS = 100
"""As many first fields of a message tell what it is."""

MAX_EXAMPLES = 20
"""In a directory, at most this many files are looked at for one that is read here."""

Format: TypeAlias = Literal["v2", "v1"]


class Holds(Enum):
    """What is read here, as an error says that it was wanted."""

    CHECKPOINT = "a TensorFlow checkpoint"
    GRAPH = "a graph"
    META_GRAPH = "a MetaGraphDef"
    SAVED_MODEL = "a SavedModel"
    EVENTS = "a TensorBoard event file"


class Kind(NamedTuple):
    """A kind of file, in words that fit into a sentence."""

    what: str
    """What the file is, with its article."""
    remedy: str = ""
    """What to do with it; empty where nothing is known."""
    holds: Holds | None = None
    """What is read of it here; None where that is nothing, or not from this file alone."""


_OPEN = "ckptfmt.open reads it, 'ckptfmt ls' lists it"
_GRAPH = "ckptfmt.read_graph reads it, 'ckptfmt graph' shows it"
_META_GRAPH = "ckptfmt.read_meta_graph reads it, 'ckptfmt graph' shows it"
_SAVED_MODEL = "ckptfmt.open_saved_model reads it, 'ckptfmt model' shows it"
_PART = "ckptfmt.open_saved_model reads it with the directory it lies in, 'ckptfmt model' shows it"
_UNPACK = "unpack it first"
_TORCH = "torch.load reads it, if you trust it: loading a pickle runs code"

GRAPH = Kind("a GraphDef (a graph, perhaps frozen)", _GRAPH, Holds.GRAPH)
META_GRAPH = Kind("a MetaGraphDef (.meta)", _META_GRAPH, Holds.META_GRAPH)
SAVED_MODEL = Kind("a SavedModel message", _SAVED_MODEL, Holds.SAVED_MODEL)
SAVED_MODEL_DIRECTORY = Kind("a SavedModel", _SAVED_MODEL, Holds.SAVED_MODEL)
SPLIT = Kind("a split message (.cpb), as a large SavedModel is stored", _SAVED_MODEL)
FINGERPRINT = Kind("the fingerprint of a SavedModel", _PART)
KERAS_METADATA = Kind("what Keras 2 stores of layers in a SavedModel", _PART)

INDEX = Kind("the index of a checkpoint", _OPEN, Holds.CHECKPOINT)
V1 = Kind("a V1 checkpoint", _OPEN, Holds.CHECKPOINT)
BROKEN_TABLE = Kind("a damaged table, perhaps the index of a checkpoint", _OPEN, Holds.CHECKPOINT)
DATA = Kind("a data shard of a checkpoint, going by its name", _OPEN, Holds.CHECKPOINT)
PREFIX = Kind("the prefix of a checkpoint", _OPEN, Holds.CHECKPOINT)
STATE = Kind(
    "a checkpoint state file", "ckptfmt.open reads the latest, 'ckptfmt ls' lists it", Holds.CHECKPOINT
)
DIRECTORY = Kind("a directory of checkpoints", STATE.remedy, Holds.CHECKPOINT)
TABLE = Kind("a sorted table, as LevelDB writes")

EVENTS = Kind(
    "a TensorBoard event file", "ckptfmt.open_events reads it, 'ckptfmt events' shows it", Holds.EVENTS
)
RECORDS = Kind("a TFRecord file", "ckptfmt.open_records reads it")
SAFETENSORS = Kind("a safetensors file", "safetensors reads it")
TEXT_FILE = Kind("a text file")
"""Text of no kind known here."""
EMPTY = Kind("an empty file")
LFS_POINTER = Kind("a Git LFS pointer, not the file it stands for", "run 'git lfs pull'")

_MAGICS: tuple[tuple[re.Pattern[bytes], Kind], ...] = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"version https://git-lfs", LFS_POINTER),
        (rb"\x89HDF\r\n\x1a\n", Kind("an HDF5 file, as Keras writes", "h5py reads it")),
        (rb"\x93NUMPY", Kind("a NumPy array", "numpy.load reads it")),
        (rb"..\0\0TFL3", Kind("a TensorFlow Lite model", "the package ai-edge-litert reads it")),
        (rb"\x1f\x8b", Kind("a gzip-compressed file", _UNPACK)),
        (rb"BZh", Kind("a bzip2-compressed file", _UNPACK)),
        (rb"\xfd7zXZ\x00", Kind("an xz-compressed file", _UNPACK)),
        (rb"\x28\xb5\x2f\xfd", Kind("a Zstandard-compressed file", _UNPACK)),
        (rb".{257}ustar", Kind("a tar archive", _UNPACK)),
        (rb"\x80[\x02-\x05]", Kind("a Python pickle, perhaps of PyTorch", _TORCH)),
        (re.escape(SIGNATURE), SPLIT),
    )
)
"""How files begin. Sources: the formats' own descriptions; ``file(1)``."""

_ZIP_MEMBERS: tuple[tuple[re.Pattern[bytes], Kind], ...] = (
    (re.compile(rb"\.npy\Z"), Kind("a NumPy .npz archive", "numpy.load reads it")),
    (re.compile(rb"(\A|/)data\.pkl\Z"), Kind("a PyTorch file", _TORCH)),
    (
        re.compile(rb"\A(metadata\.json|config\.json|model\.weights\.h5)\Z"),
        Kind("a Keras 3 model (.keras)", "it is a zip archive: its model.weights.h5 is read by h5py"),
    ),
    (re.compile(rb""), Kind("a zip archive", _UNPACK)),
)
"""What the name of the first file in a zip archive tells."""

_TEXTS: tuple[tuple[re.Pattern[bytes], Kind], ...] = (
    (re.compile(rb"<(!doctype html|html)\b", re.IGNORECASE), Kind("an HTML page", "the download went wrong")),
    (
        re.compile(rb"(?:node|library|versions?)\s*[:{<]"),
        Kind("a GraphDef as text", _GRAPH, Holds.GRAPH),
    ),
    (
        re.compile(
            rb"(?:meta_info_def|graph_def|saver_def|collection_def|signature_def|asset_file_def"
            rb"|object_graph_def)\s*[:{<]"
        ),
        Kind("a MetaGraphDef as text", _META_GRAPH, Holds.META_GRAPH),
    ),
    (
        re.compile(rb"(?:saved_model_schema_version|meta_graphs)\s*[:{<]"),
        Kind("a SavedModel as text", _SAVED_MODEL, Holds.SAVED_MODEL),
    ),
    (re.compile(rb"\{\s*(\"|\})"), Kind("a JSON file")),
    (re.compile(rb"(?m:.*?^\s*(?:all_)?model_checkpoint_paths?\s*:)", re.DOTALL), STATE),
)
"""How a text file begins, after space and comments."""

_SPACE_AND_COMMENTS = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|#[^\n]*\n)*")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_OP = re.compile(rb"[A-Za-z_][A-Za-z0-9_.>\-/]*")


# --- files -----------------------------------------------------------------------------------------------


def recognise(file: RandomAccessFile) -> Kind | None:
    """Return what a file seems to be, or None; a damaged one too, as far as it can still be told."""
    head = bytes(file.read(0, min(file.size, HEAD_SIZE)))
    if not head:
        return EMPTY
    for pattern, kind in _MAGICS:
        if pattern.match(head):
            return kind
    if head.startswith(b"PK\x03\x04"):
        member = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return next(kind for pattern, kind in _ZIP_MEMBERS if pattern.search(member))
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= file.size - 8:
        return SAFETENSORS
    if file.size >= 12 and int.from_bytes(head[8:12], "little") == mask(crc32c(head[:8])):
        return EVENTS if b"brain.Event:" in head[:64] else RECORDS
    if has_table_magic(file):
        return _recognise_table(file)
    return recognise_message(file.read(0, file.size))


def recognise_file(fs: Filesystem, path: str) -> Kind | None:
    """Return what a file seems to be; see :func:`recognise`."""
    with closing(fs.open(path)) as file:
        return recognise(file)


def recognise_message(data: Buffer) -> Kind | None:
    """Return which message bytes hold, serialized or as text, or None; only their frame is looked at."""
    if not len(data):
        return None
    head = bytes(data[:HEAD_SIZE])
    if is_text(head):
        begin = _SPACE_AND_COMMENTS.match(head)
        at = 0 if begin is None else begin.end()
        return next((kind for pattern, kind in _TEXTS if pattern.match(head, at)), _text_file(head))
    parts = _parts(memoryview(data))
    return next((kind for kind, is_one in _MESSAGES if is_one(parts)), None) if parts else None


def is_text(head: bytes) -> bool:
    """Whether the beginning of a file is text; serialized, a length or a tag below the space comes soon."""
    return not _NOT_TEXT.search(head)


def _text_file(head: bytes) -> Kind | None:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return None
    return TEXT_FILE


def has_table_magic(file: RandomAccessFile) -> bool:
    """Whether a file ends as a sorted table does: the index of a checkpoint, or a V1 checkpoint."""
    size = len(MAGIC_BYTES)
    return file.size >= FOOTER_SIZE and file.read(file.size - size, size) == MAGIC_BYTES


def checkpoint_format(table: Table) -> Format | None:
    """Return whether a table is a V2 index or a V1 checkpoint, by its empty key; None if it has none.

    Raises CorruptError where the table is damaged.
    """
    header = table.get(b"")
    if header is None:
        return None
    # All fields of a BundleHeaderProto may be left out.
    tag = decode_varint(header, 0)[0] if len(header) else 0
    return "v1" if tag == 1 << 3 | LENGTH_DELIMITED else "v2"


def _recognise_table(file: RandomAccessFile) -> Kind:
    try:
        found = checkpoint_format(Table(file))
    except CkptfmtError:
        return BROKEN_TABLE
    return TABLE if found is None else V1 if found == "v1" else INDEX


# --- messages --------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A field of a message."""

    number: int
    wire_type: int
    content: Buffer
    """Of a length-delimited field what is there of it, of a number nothing."""


def _parts(data: Buffer) -> list[_Part]:
    """The first fields of a message, the last perhaps cut short; none where the bytes are no message."""
    parts: list[_Part] = []
    try:
        for field in islice(find_fields(data, may_be_cut=True), MAX_PARTS):
            if field.wire_type not in (VARINT, LENGTH_DELIMITED):
                return []  # none of the messages here has another
            content = data[field.content : field.stop] if field.wire_type == LENGTH_DELIMITED else b""
            parts.append(_Part(field.number, field.wire_type, content))
    except CorruptError:
        return []
    return parts


def _is_saved_model(parts: Sequence[_Part]) -> bool:
    return parts[0][:2] == (1, VARINT) and all(part[:2] == (2, LENGTH_DELIMITED) for part in parts[1:])


def _is_fingerprint(parts: Sequence[_Part]) -> bool:
    """FingerprintDef: hashes 1 to 5, which are numbers, a version 6, and later a UUID 7 in decimal digits."""
    numbers = [part.number for part in parts]
    return (
        numbers[0] <= 5 < numbers[-1] <= 7
        and all(part.wire_type == (VARINT if part.number <= 5 else LENGTH_DELIMITED) for part in parts)
        and all(bytes(part.content).isdigit() for part in parts if part.number == 7)
    )


def _is_onnx(parts: Sequence[_Part]) -> bool:
    """ModelProto of ONNX: its version is a number, its graph is field 7."""
    kinds = {part[:2] for part in parts}
    return (1, VARINT) in kinds and (7, LENGTH_DELIMITED) in kinds


def _is_keras_metadata(parts: Sequence[_Part]) -> bool:
    """SavedMetadata: objects that say in field 4 what of Keras they are."""
    if parts[0][:2] != (1, LENGTH_DELIMITED):
        return False
    return any(part.number == 4 and bytes(part.content[:9]) == b"_tf_keras" for part in _parts(parts[0][2]))


def _is_graph(parts: Sequence[_Part]) -> bool:
    allowed = {1: LENGTH_DELIMITED, 2: LENGTH_DELIMITED, 3: VARINT, 4: LENGTH_DELIMITED, 5: LENGTH_DELIMITED}
    if any(allowed.get(part.number) != part.wire_type for part in parts):
        return False
    if any(part.number in (4, 5) and _is_map(part) for part in parts):
        return False
    nodes = [part for part in parts if part.number == 1]
    return _is_node(nodes[0]) if nodes else any(part.number in (3, 4) for part in parts)


def _is_meta_graph(parts: Sequence[_Part]) -> bool:
    for part in parts:
        if part.number > 7 or part.wire_type != LENGTH_DELIMITED or (part.number == 4 and not _is_map(part)):
            return False
    infos = [part for part in parts if part.number == 1]
    if infos:
        return len(infos) == 1 and _is_meta_info(infos[0])
    return any(part.number != 2 for part in parts)


def _is_map(part: _Part) -> bool:
    """Whether a field holds an entry of a map, which begins with its key; a VersionDef with a number."""
    return bytes(part.content[:1]) == b"\n"


def _is_node(part: _Part) -> bool:
    """Whether a field holds a NodeDef: it has an op, where a MetaInfoDef has a list of definitions."""
    inner = {part.number: part for part in _parts(part.content) if part.wire_type == LENGTH_DELIMITED}
    return 2 in inner and _OP.fullmatch(bytes(inner[2].content)) is not None


def _is_meta_info(part: _Part) -> bool:
    inner = _parts(part.content)
    if not inner:
        return not part.content
    numbers = [each.number for each in inner]
    return (
        all(each.wire_type == (VARINT if each.number == 7 else LENGTH_DELIMITED) for each in inner)
        and set(numbers) <= set(range(1, 9))
        and all(numbers.count(number) <= 1 for number in (1, 2, 3, 5, 6, 7))
        and all(is_text(bytes(each.content[:HEAD_SIZE])) for each in inner if each.number in (1, 4, 5, 6))
    )


_MESSAGES: tuple[tuple[Kind, Callable[[Sequence[_Part]], bool]], ...] = (
    (SAVED_MODEL, _is_saved_model),
    (FINGERPRINT, _is_fingerprint),
    (Kind("an ONNX model", "onnx reads it"), _is_onnx),
    (KERAS_METADATA, _is_keras_metadata),
    (GRAPH, _is_graph),
    (META_GRAPH, _is_meta_graph),
)


# --- paths -----------------------------------------------------------------------------------------------


def recognise_path(fs: Filesystem, path: str) -> Kind | None:
    """Return what a path leads to: a file, a directory, or no file but the prefix of a checkpoint."""
    path_type = fs.path_type(path)
    if path_type == "directory":
        return _recognise_directory(fs.list_directory(path).files)
    if path_type == "file":
        return DATA if DATA_SUFFIX.search(path) else recognise_file(fs, path)
    return PREFIX if path_type is None and _is_prefix(fs, path) else None


def _is_prefix(fs: Filesystem, path: str) -> bool:
    if fs.path_type(path + INDEX_SUFFIX) is not None:
        return True
    if V1_PATTERN_SUFFIX.search(path) is None:
        return False
    directory, name = os.path.split(path)
    return bool(CheckpointNames.of(fs.list_directory(directory).files).v1_shards(name))


def _recognise_directory(files: Sequence[str]) -> Kind | None:
    if any(name in SAVED_MODEL_FILES for name in files):
        return SAVED_MODEL_DIRECTORY
    has_checkpoint = any(name == STATE_FILE or name.endswith(INDEX_SUFFIX) for name in files)
    return DIRECTORY if has_checkpoint else None


def refusal(fs: Filesystem, path: str, wanted: Holds) -> CkptfmtError:
    """Return the error for a path where something was wanted that is not there: what is, and what reads it.

    UnsupportedError where it is of a known kind, else CorruptError.
    """
    return refusal_of(recognise_path(fs, path), path, wanted, fs)


def refusal_of(kind: Kind | None, name: str, wanted: Holds, fs: Filesystem | None = None) -> CkptfmtError:
    """Return the same for what is of a kind, None of none that is known, whatever it is called."""
    if kind is None:
        return CorruptError(f"not {wanted.value}, nor of another kind that is known here", file=name)
    if kind is EMPTY:
        return CorruptError(f"an empty file, not {wanted.value}", file=name)
    return misfit(name, kind, wanted, fs)


def misfit(path: str, kind: Kind, wanted: Holds, fs: Filesystem | None = None) -> UnsupportedError:
    """Return the error for a path that leads to something of one kind where another was wanted."""
    # What reads it where it is well is not the remedy for what has just refused it.
    hints = [kind.remedy] if kind.remedy and kind.holds is not wanted else []
    if fs is not None and wanted is not Holds.CHECKPOINT and kind.holds is Holds.CHECKPOINT:
        hints += _whereabouts(fs, path)
    what = f"{kind.what}, not {wanted.value}"
    return UnsupportedError(": ".join([what, *(["; ".join(hints)] if hints else [])]), file=path)


def _whereabouts(fs: Filesystem, path: str) -> list[str]:
    """Where the graph of a checkpoint is, said for an error message."""
    base = path.removesuffix(INDEX_SUFFIX)
    for suffix in (DATA_SUFFIX, V1_SHARD_SUFFIX, V1_PATTERN_SUFFIX):
        found = suffix.search(base)
        base = base if found is None else base[: found.start()]
    if fs.path_type(base + META_SUFFIX) == "file":
        return [f"its graph is in {base}{META_SUFFIX}"]
    directory = path if fs.path_type(path) == "directory" else os.path.dirname(path)
    above, name = os.path.split(directory.rstrip(os.sep))
    if name == "variables" and any(fs.path_type(os.path.join(above, file)) for file in SAVED_MODEL_FILES):
        return [f"its graph is in the SavedModel {above or os.curdir}"]
    if directory == path or os.path.basename(path) == STATE_FILE:
        graphs = [file for file in fs.list_directory(directory).files if file.endswith(META_SUFFIX)]
        # The last in natural order is, as a rule, the latest.
        return [f"a graph is in {os.path.join(directory, graphs[-1])}"] if graphs else []
    return []


def example_in(fs: Filesystem, directory: str) -> str | None:
    """Return a sentence on a file in a directory that is known, best one that is read here; None if none."""
    found: list[tuple[bool, str]] = []
    for name in fs.list_directory(directory).files[:MAX_EXAMPLES]:
        path = os.path.join(directory, name)
        with suppress(CkptfmtError):
            kind = recognise_path(fs, path)
            if kind is not None and kind.remedy:
                found.append((kind.holds is None, f"{path} is {kind.what}: {kind.remedy}"))
    return min(found, key=lambda each: each[0])[1] if found else None
