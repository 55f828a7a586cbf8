"""The arrays of a zarr hierarchy: which there are, and what their metadata say.

Version 3 has a file ``zarr.json`` in the directory of each group and array; version 2 has ``.zgroup`` or
``.zarray``, and attributes in ``.zattrs``. A root may have the metadata of everything below it, consolidated:
then no directory is listed.

Sources: https://zarr-specs.readthedocs.io, versions 2 and 3; consolidated metadata as zarr-python writes
them, in ``.zmetadata`` and in a member of ``zarr.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.arrays.shape import MAX_RANK, Shape
from ckptfmt.converting.sources.zarr.tree import Tree
from ckptfmt.dtypes import DTYPES, DType, Storage, as_dtype
from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.limits import Limits

STORED_AS = "ckptfmt_dtype"
"""The attribute that names the dtype of values stored as integers of as many bytes: ``"bfloat16"``."""

_PLAIN = re.compile(r"bool|u?int(?:8|16|32|64)|float(?:16|32|64)|complex(?:64|128)")
_EXTENSIONS = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
"""Dtypes that tensorstore writes under these names; zarr-python has none of them."""

_STRINGS_V3 = {"string", "bytes", "variable_length_bytes", "null_terminated_bytes", "fixed_length_utf32"}


class ArrayHead(NamedTuple):
    """The metadata of one array."""

    key: str
    """The path of the array in the hierarchy; empty for the root."""
    metadata: dict[str, Any]
    """Its metadata as the library takes them; of version 2, with the attributes in them."""
    dtype: DType
    """The dtype of the values."""
    stored: DType
    """The dtype that zarr has them in."""
    shape: Shape

    @property
    def version(self) -> int:
        """The version of the format, 2 or 3."""
        return 3 if self.metadata["zarr_format"] == 3 else 2


def find_arrays(tree: Tree, limits: Limits) -> Iterator[ArrayHead]:
    """Iterate over all arrays of a hierarchy, parents first, by name.

    Raises
    ------
    CorruptError
        There is no hierarchy, or its metadata contradict themselves or the format.
    UnsupportedError
        An array has a dtype or a shape that TensorFlow does not have.
    """
    root = _read_node(tree, "", limits)
    if root is None:
        raise CorruptError("no zarr.json, .zgroup or .zarray: not a zarr hierarchy", file=tree.locate(""))
    consolidated = _consolidated(tree, root, limits)
    if consolidated is not None:
        limits.check_names("arrays", len(consolidated), file=tree.locate(""))
        for key, metadata in consolidated.items():
            _check_key(key, tree)
            if _is_array(metadata):
                yield decode_head(tree, key, metadata)
        return
    waiting = [("", root)]
    seen = 0
    while waiting:
        key, metadata = waiting.pop()
        if _is_array(metadata):
            seen += 1
            limits.check_names("arrays", seen, file=tree.locate(""))
            yield decode_head(tree, key, metadata)
            continue
        limits.check_depth("groups in groups", key.count("/"), file=tree.locate(key))
        below = []
        for name in tree.directories(key):
            path = f"{key}/{name}" if key else name
            node = _read_node(tree, path, limits)
            if node is not None:
                below.append((path, node))
        waiting += reversed(below)


def decode_head(tree: Tree, key: str, metadata: dict[str, Any]) -> ArrayHead:
    """Return what the metadata of an array say; raises what :func:`find_arrays` does."""
    file = tree.locate(f"{key}/zarr.json" if metadata.get("zarr_format") == 3 else f"{key}/.zarray")
    try:
        shape = _decode_shape(metadata.get("shape"))
        version = metadata.get("zarr_format")
        stored = _dtype_v3(metadata.get("data_type")) if version == 3 else _dtype_v2(metadata.get("dtype"))
        attributes = metadata.setdefault("attributes", {})
        if not isinstance(attributes, dict):
            raise CorruptError(f"attributes: got {type(attributes).__name__}, want an object")
        return ArrayHead(key, metadata, _dtype_of_values(stored, attributes), stored, shape)
    except (CorruptError, UnsupportedError) as error:
        raise error.at(file, label=f"array {key!r}") from None


def _decode_shape(shape: Any) -> Shape:  # noqa: ANN401  (whatever JSON holds)
    # By exact type: True is an int in Python.
    if not isinstance(shape, list) or any(type(size) is not int or not 0 <= size < 1 << 63 for size in shape):
        raise CorruptError(f"shape: got {json.dumps(shape)[:100]}, want a list of numbers below 2**63")
    if len(shape) > MAX_RANK:
        raise UnsupportedError(f"TensorFlow has no shape of {len(shape)} dimensions")
    return tuple(shape)


def _dtype_v3(data_type: Any) -> DType:  # noqa: ANN401
    name = data_type.get("name") if isinstance(data_type, dict) else data_type
    if not isinstance(name, str):
        raise CorruptError(f"data_type: got {json.dumps(data_type)[:100]}, want a name")
    if name in _STRINGS_V3:
        return as_dtype("string")
    if _PLAIN.fullmatch(name) or name in _EXTENSIONS:
        return as_dtype(name)
    raise UnsupportedError(f"TensorFlow has no dtype {name}")


def _dtype_v2(dtype: Any) -> DType:  # noqa: ANN401
    # Structures are lists of fields.
    if not isinstance(dtype, str):
        raise UnsupportedError(f"TensorFlow has no dtype {json.dumps(dtype)[:100]}")
    if dtype in _EXTENSIONS:
        return as_dtype(dtype)
    if re.fullmatch(r"[<>|=]?(?:O|[SU]\d{1,9})", dtype):
        return as_dtype("string")
    try:
        name = np.dtype(dtype).name if re.fullmatch(r"[<>|=]?[biufc]\d{1,2}", dtype) else dtype
    except TypeError:
        raise CorruptError(f"dtype: got {dtype!r}, want one of NumPy's") from None
    if not _PLAIN.fullmatch(name):
        raise UnsupportedError(f"TensorFlow has no dtype {dtype}")
    return as_dtype(name)


_BY_NAME = {dtype.name: dtype for dtype in DTYPES.values()}


def _dtype_of_values(stored: DType, attributes: Mapping[str, Any]) -> DType:
    name = attributes.get(STORED_AS)
    if name is None:
        return stored
    dtype = _BY_NAME.get(name) if isinstance(name, str) else None
    is_bits = dtype is not None and dtype.storage in (Storage.FIXED, Storage.LOW_BITS)
    if dtype is None or not is_bits or not stored.is_integer or dtype.itemsize != stored.itemsize:
        raise CorruptError(f"attribute {STORED_AS}: got {name!r}, which {stored.name} cannot hold")
    return dtype


def _is_array(metadata: Mapping[str, Any]) -> bool:
    return bool(metadata["node_type"] == "array")


def _read_node(tree: Tree, key: str, limits: Limits) -> dict[str, Any] | None:
    """Return the metadata of the array or group at a key; None if neither is there."""
    start = f"{key}/" if key else ""
    metadata = _read_json(tree, f"{start}zarr.json", limits)
    if metadata is not None:
        if metadata.get("zarr_format") != 3 or metadata.get("node_type") not in ("array", "group"):
            raise CorruptError(
                "want zarr_format 3 and a node_type array or group", file=tree.locate(f"{start}zarr.json")
            )
        return metadata
    for file, kind in ((".zarray", "array"), (".zgroup", "group")):
        metadata = _read_json(tree, start + file, limits)
        if metadata is not None:
            attributes = _read_json(tree, f"{start}.zattrs", limits) if kind == "array" else None
            return _as_node(metadata, kind, attributes, tree.locate(start + file))
    return None


def _as_node(
    metadata: dict[str, Any], kind: str, attributes: dict[str, Any] | None, file: str
) -> dict[str, Any]:
    if metadata.get("zarr_format") != 2:
        raise CorruptError(f"zarr_format: got {metadata.get('zarr_format')!r}, want 2", file=file)
    return {**metadata, "node_type": kind, "attributes": attributes or {}}


def _consolidated(tree: Tree, root: dict[str, Any], limits: Limits) -> dict[str, dict[str, Any]] | None:
    """Return the metadata of all nodes by key, if the root has them."""
    if _is_array(root):
        return None
    if root["zarr_format"] == 3:
        block = root.get("consolidated_metadata")
        metadata = block.get("metadata") if isinstance(block, dict) else None
        if metadata is None:
            return None
        wanted = isinstance(metadata, dict) and all(
            isinstance(node, dict)
            and node.get("zarr_format") == 3
            and node.get("node_type") in ("array", "group")
            for node in metadata.values()
        )
        if not wanted:
            raise CorruptError("consolidated_metadata: want nodes by name", file=tree.locate("zarr.json"))
        return dict(metadata)
    block = _read_json(tree, ".zmetadata", limits)
    if block is None:
        return None
    metadata = block.get("metadata")
    file = tree.locate(".zmetadata")
    if not isinstance(metadata, dict) or not all(isinstance(each, dict) for each in metadata.values()):
        raise CorruptError("metadata: want those of files by name", file=file)
    nodes = {}
    for path, content in metadata.items():
        if path.endswith("/.zarray"):
            key = path.removesuffix("/.zarray")
            nodes[key] = _as_node(content, "array", metadata.get(f"{key}/.zattrs"), file)
    return nodes


def _check_key(key: str, tree: Tree) -> None:
    """Raise CorruptError for a path that leads out of the hierarchy."""
    if not key or "\\" in key or any(part in ("", ".", "..") for part in key.split("/")):
        raise CorruptError(
            f"consolidated metadata: {key!r} is not the path of an array", file=tree.locate("")
        )


def _read_json(tree: Tree, key: str, limits: Limits) -> dict[str, Any] | None:
    text = tree.read(key)
    if text is None:
        return None
    file = tree.locate(key)
    if len(text) > limits.value:
        raise LimitError("metadata", limit=limits.value, asked=len(text), field="max_bytes", file=file)
    try:
        metadata = json.loads(bytes(text).decode())
    except RecursionError:
        raise CorruptError("JSON nested too deeply", file=file) from None
    except ValueError as error:  # not JSON, not UTF-8, or a number with too many digits
        raise CorruptError(f"not JSON: {error}", file=file) from None
    if not isinstance(metadata, dict):
        raise CorruptError(f"got {type(metadata).__name__}, want an object", file=file)
    return metadata
