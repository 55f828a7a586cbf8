"""What a file that is no checkpoint seems to be.

For error messages only: somebody who opens an HDF5 file, or a Git LFS pointer, is helped by being told so.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ckptfmt.errors import CorruptError
from ckptfmt.wire.coding import LENGTH_DELIMITED, decode_varint
from ckptfmt.wire.crc32c import crc32c, mask

HEAD_SIZE = 4096
"""As many first bytes of a file as :func:`recognise` looks at."""


class Kind(NamedTuple):
    """A kind of file, in words that fit into a sentence."""

    what: str
    """What the file is, with its article."""
    remedy: str
    """What to do with it."""


TEXT_FILE = Kind("a text file", "it holds no checkpoint")
"""Text of no kind known here."""

_UNPACK = "unpack it first"
_TORCH = "torch.load reads it, if you trust it: loading a pickle runs code"

_MAGICS: tuple[tuple[int, bytes, Kind], ...] = (
    (
        0,
        b"version https://git-lfs",
        Kind("a Git LFS pointer, not the file it stands for", "run 'git lfs pull'"),
    ),
    (0, b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file, as Keras writes", "h5py reads it")),
    (0, b"\x93NUMPY", Kind("a NumPy array", "numpy.load reads it")),
    (4, b"TFL3", Kind("a TensorFlow Lite model", "it holds no checkpoint")),
    (0, b"\x1f\x8b", Kind("a gzip-compressed file", _UNPACK)),
    (0, b"BZh", Kind("a bzip2-compressed file", _UNPACK)),
    (0, b"\xfd7zXZ\x00", Kind("an xz-compressed file", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Kind("a Zstandard-compressed file", _UNPACK)),
    (257, b"ustar", Kind("a tar archive", _UNPACK)),
    (0, b"\x08\x01\x12", Kind("a SavedModel message", "open the directory it lies in, as saved_model.pb")),
    *((0, b"\x80" + bytes([n]), Kind("a Python pickle, perhaps of PyTorch", _TORCH)) for n in range(2, 6)),
)
"""Offset, bytes there, and what has them. Sources: the formats' own descriptions; ``file(1)``."""

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
        re.compile(rb"(node|library|versions)\s*:?\s*\{"),
        Kind("a GraphDef as text", "it holds a graph; variables lie in a checkpoint"),
    ),
    (
        re.compile(rb"meta_info_def\s*:?\s*\{"),
        Kind("a MetaGraphDef as text", "it holds a graph; variables lie in a checkpoint"),
    ),
    (
        re.compile(rb"saved_model_schema_version\s*:"),
        Kind("a SavedModel as text", "open the directory it lies in"),
    ),
    (re.compile(rb"\{\s*(\"|\})"), Kind("a JSON file", "it holds no checkpoint")),
)
"""How a text file begins, after space and comments."""

_SPACE_AND_COMMENTS = re.compile(rb"(\xef\xbb\xbf)?(\s+|#[^\n]*\n)*")
_TEXT = re.compile(rb"[^\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]*\Z")
_OP_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_>./\\-]*")


def recognise(head: bytes, size: int) -> Kind | None:
    """Return what a file of ``size`` bytes that begins with ``head`` seems to be, or None."""
    for offset, magic, kind in _MAGICS:
        if head.startswith(magic, offset):
            return kind
    if head.startswith(b"PK\x03\x04"):
        member = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return next(kind for pattern, kind in _ZIP_MEMBERS if pattern.search(member))
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= length <= size - 8:
        return Kind("a safetensors file", "safetensors reads it")
    if size >= 12 and int.from_bytes(head[8:12], "little") == mask(crc32c(head[:8])):
        if b"brain.Event:" in head[:64]:
            return Kind("a TensorBoard event file", "it holds summaries; variables lie in a checkpoint")
        return Kind("a TFRecord file", "it holds records; variables lie in a checkpoint")
    return _recognise_graph(head) or _recognise_text(head)


def _recognise_text(head: bytes) -> Kind | None:
    if not head or not _TEXT.match(head):
        return None
    match = _SPACE_AND_COMMENTS.match(head)
    begin = head[match.end() :] if match else head
    for pattern, kind in _TEXTS:
        if pattern.match(begin):
            return kind
    return TEXT_FILE


def _recognise_graph(head: bytes) -> Kind | None:
    """GraphDef: field 1 is a node, which begins with its name and op. MetaGraphDef: with a list of ops."""
    node = _field(head, 1)
    if node is None:
        return None
    name = _field(node, 1)
    if name is not None and _OP_NAME.fullmatch(name):
        op = _field(node[2 + len(name) :], 2)
        if op is not None and _OP_NAME.fullmatch(op):
            return Kind(
                "a GraphDef (a graph, perhaps frozen)", "its constants are in the graph, not a checkpoint"
            )
    ops = _field(node, 2)
    name = _field(_field(ops or b"", 1) or b"", 1)
    if name is not None and _OP_NAME.fullmatch(name):
        return Kind("a MetaGraphDef (.meta)", "it holds a graph; variables lie in a checkpoint")
    return None


def _field(data: bytes, number: int) -> bytes | None:
    """The bytes of a length-delimited field at the start of ``data``, as far as they are there."""
    if not data or data[0] != number << 3 | LENGTH_DELIMITED:
        return None
    try:
        length, pos = decode_varint(data, 1)
    except CorruptError:
        return None
    return data[pos : pos + length]
