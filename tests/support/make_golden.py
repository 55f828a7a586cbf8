"""Write the checkpoints of tests/data/golden and what TensorFlow reads from them.

Run as ``python -m tests.support.make_golden [--force] [CASE ...]`` with TensorFlow installed. Every case is a
function below, which makes TensorFlow write into the current directory, empty at first, and returns a `Case`.
The values in the JSON are those that TensorFlow restored; they are also compared with what was fed in.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

GOLDEN = Path(__file__).parent.parent / "data" / "golden"
CAST = {  # outside TensorFlow they have no fixed layout, so a wider common dtype is recorded
    "int4": "int8",
    "int2": "int8",
    "uint4": "uint8",
    "uint2": "uint8",
    "float4_e2m1fn": "float32",
}
tf1 = tf.compat.v1


@dataclasses.dataclass
class Case:
    """The result of a case function: what it wrote, and how."""

    call: str
    path: str
    tensors: list[dict[str, Any]]
    format: str = "v2"
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Piece:
    """A tensor to save under `name`; with a `spec`, a slice of one."""

    name: str | bytes
    tensor: tf.Tensor
    spec: str = ""

    @property
    def key(self) -> bytes:
        """The name as it is stored."""
        return tf.compat.as_bytes(self.name)


CASES: dict[str, Callable[[], Case]] = {}


def case(function: Callable[[], Case]) -> Callable[[], Case]:
    """Register a case under its function's name."""
    CASES[function.__name__.rstrip("_")] = function
    return function


# What TensorFlow reads ----------------------------------------------------------------------------


def restore(path: str, name: bytes | str, dtype: tf.DType, spec: str = "") -> tf.Tensor:
    """Restore a tensor with RestoreV2, which reads V1 files too."""
    return tf.raw_ops.RestoreV2(prefix=path, tensor_names=[name], shape_and_slices=[spec], dtypes=[dtype])[0]


def message(error: Exception) -> str:
    """Return the text of an error without the parts that name the op's device and call."""
    text = str(error)
    if text.startswith("{{"):
        text = text.partition("}} ")[2]
    return f"{type(error).__name__}: {text.partition(' [Op:')[0]}"


def shortened(value: bytes) -> str | list[Any]:
    """Return bytes as hex; for many repetitions of ten bytes, their hex and the number of repetitions."""
    times = len(value) // 10
    if times > 100 and value == value[:10] * times:
        return [value[:10].hex(), times]
    return value.hex()


def values(value: np.ndarray, dtype: str) -> dict[str, Any]:
    """Return the part of a JSON entry that holds the value."""
    if dtype == "string":
        value = np.asarray(value, object)
        return {"strings": [shortened(element) for element in value.reshape(-1).tolist()]}
    if dtype in CAST:
        return {"as": CAST[dtype], "data": value.astype(CAST[dtype]).tobytes().hex()}
    return {"data": value.tobytes().hex()}


def named(key: bytes) -> dict[str, str]:
    """Return the part of a JSON entry that holds the name."""
    try:
        return {"name": key.decode()}
    except UnicodeDecodeError:
        return {"name_hex": key.hex()}


def read_varints(content: memoryview, count: int) -> tuple[list[int], int]:
    """Read ``count`` varints from the start; return them and the offset of their end."""
    numbers, at = [], 0
    for _ in range(count):
        number = shift = 0
        while True:
            byte = content[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        numbers.append(number)
    return numbers, at


def decode_variants(proto: tensor_pb2.TensorProto) -> list[dict[str, Any]]:
    """Return the variants of a TensorProto: messages, or tensor_content that holds sizes, then messages."""
    messages = list(proto.variant_val)
    if not messages:
        content = memoryview(proto.tensor_content)
        count = int(np.prod([dim.size for dim in proto.tensor_shape.dim], dtype=np.int64))
        sizes, at = read_varints(content, count)
        for size in sizes:
            messages.append(tensor_pb2.VariantTensorDataProto.FromString(bytes(content[at : at + size])))
            at += size
        assert at == len(content)
    variants = []
    for data in messages:
        inner: list[dict[str, Any]] = []
        for each in data.tensors:
            dtype = tf.as_dtype(each.dtype)
            entry = {"dtype": dtype.name, "shape": [dim.size for dim in each.tensor_shape.dim]}
            if dtype == tf.variant:
                inner.append({**entry, "variants": decode_variants(each)})
            else:
                inner.append({**entry, **values(tf.make_ndarray(each), dtype.name)})
        variants.append({"type_name": data.type_name, "metadata": data.metadata.hex(), "tensors": inner})
    return variants


def extents(spec: str) -> tuple[list[int], tuple[slice, ...]]:
    """Split ``"4 3 0,2:-"`` into the full shape and an index."""
    *shape, items = spec.split(" ")
    index = []
    for item in items.split(":"):
        start, _, length = item.partition(",")
        index.append(slice(None) if item == "-" else slice(int(start), int(start) + int(length)))
    return [int(dim) for dim in shape], tuple(index)


def joined(pieces: Sequence[Piece], read: Callable[[str], np.ndarray]) -> np.ndarray:
    """Return the whole tensor from its slices, which `read` returns by spec."""
    shape, _ = extents(pieces[0].spec)
    first = read(pieces[0].spec)
    whole = np.zeros(shape, first.dtype)
    for piece in pieces:
        whole[extents(piece.spec)[1]] = read(piece.spec)
    return whole


def described(path: str, key: bytes, dtype: tf.DType, pieces: Sequence[Piece] = ()) -> dict[str, Any]:
    """Return the JSON entry of a tensor of the checkpoint at `path`, saved as `pieces` if they are known."""
    entry: dict[str, Any] = {**named(key), "dtype": dtype.name}
    specs = [piece.spec for piece in pieces if piece.spec]
    refused = {}
    value = None
    source = "read"
    try:
        tensor = restore(path, key, dtype)
    except tf.errors.OpError as error:
        refused["RestoreV2"] = message(error)
        if specs:  # TensorFlow can read a stored slice even if it cannot put slices together
            value = joined(pieces, lambda spec: restore(path, key, dtype, spec).numpy())
            source = "read slice by slice"
        else:
            value = pieces[0].tensor.numpy()
            source = "written"
    else:
        if dtype == tf.variant:
            proto = tensor_pb2.TensorProto.FromString(tf.io.serialize_tensor(tensor).numpy())
            entry |= {"shape": list(tensor.shape), "variants": decode_variants(proto)}
        else:
            value = tensor.numpy()
    if value is not None:
        # A scalar string is a bytes object; as an array of NumPy's own bytes it would lose trailing zeros.
        value = np.asarray(value, object if dtype == tf.string else None)
        entry |= {"shape": list(value.shape), **values(value, dtype.name)}
        if pieces:
            fed = {piece.spec: piece.tensor.numpy() for piece in pieces}
            written = joined(pieces, fed.__getitem__) if specs else np.asarray(fed[""], value.dtype)
            assert values(written, dtype.name) == values(value, dtype.name), key
    if dtype != tf.variant:
        try:
            tf.train.load_checkpoint(path).get_tensor(key)
        except (tf.errors.OpError, ValueError, IndexError, TypeError) as error:
            refused["CheckpointReader.get_tensor"] = message(error)
    entry["source"] = source
    if specs:
        entry["slices"] = [spec.rpartition(" ")[2] for spec in specs]
    if refused:
        entry["refused"] = refused
    return entry


def described_pieces(path: str, pieces: Iterable[Piece]) -> list[dict[str, Any]]:
    """Return the entries of all tensors in `pieces`, in the byte order of their names."""
    by_key: dict[bytes, list[Piece]] = {}
    for piece in pieces:
        by_key.setdefault(piece.key, []).append(piece)
    return [described(path, key, group[0].tensor.dtype, group) for key, group in sorted(by_key.items())]


def described_all(path: str) -> list[dict[str, Any]]:
    """Return the entries of all tensors that TensorFlow's reader lists."""
    dtypes = tf.train.load_checkpoint(path).get_variable_to_dtype_map()
    keys = sorted((tf.compat.as_bytes(name), dtype) for name, dtype in dtypes.items())
    return [described(path, key, dtype) for key, dtype in keys]


# Helpers of the cases -----------------------------------------------------------------------------


def save_v2(prefix: str, pieces: Sequence[Piece]) -> None:
    """Save with one SaveV2 op."""
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=tf.constant([piece.name for piece in pieces], tf.string),
        shape_and_slices=[piece.spec for piece in pieces],
        tensors=[piece.tensor for piece in pieces],
    )


def save_slices(filename: str, pieces: Sequence[Piece]) -> None:
    """Save a V1 file with one SaveSlices op."""
    tf.raw_ops.SaveSlices(
        filename=filename,
        tensor_names=tf.constant([piece.name for piece in pieces], tf.string),
        shapes_and_slices=[piece.spec for piece in pieces],
        data=[piece.tensor for piece in pieces],
    )


def merge(parts: Sequence[str], prefix: str) -> None:
    """Merge checkpoints with one MergeV2Checkpoints op."""
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=list(parts), destination_prefix=prefix)


def sliced(name: str | bytes, array: np.ndarray, *items: str) -> list[Piece]:
    """Return slices of an array as pieces."""
    pieces = []
    for item in items:
        spec = " ".join([*map(str, array.shape), item])
        pieces.append(Piece(name, tf.constant(array[extents(spec)[1]]), spec))
    return pieces


def ramp(dtype: str, *shape: int) -> np.ndarray:
    """Return different values of a dtype, counting up from a negative one if it has any."""
    count = int(np.prod(shape))
    if dtype == "string":
        return np.array([b"s%d" % i * (i % 4) for i in range(count)], object).reshape(shape)
    if dtype == "bool":
        return np.array([i % 3 == 0 for i in range(count)]).reshape(shape)
    numpy_dtype = np.dtype(tf.as_dtype(dtype).as_numpy_dtype)
    if dtype in ("int4", "int2", "float4_e2m1fn"):
        return np.array([i % 4 - 2 for i in range(count)]).astype(numpy_dtype).reshape(shape)
    if dtype in ("uint4", "uint2"):
        return np.array([i % 4 for i in range(count)]).astype(numpy_dtype).reshape(shape)
    numbers = np.arange(count)
    if dtype.startswith("complex"):
        return (numbers - 1j * numbers / 2).astype(numpy_dtype).reshape(shape)
    if not dtype.startswith("uint"):
        numbers = numbers - 3
    if "float" in dtype:
        numbers = numbers * 0.5
    return numbers.astype(numpy_dtype).reshape(shape)


def integers(dtype: str, *extra: int) -> list[int]:
    info = np.iinfo(dtype)
    return [info.min, info.max, 0, 1, info.max // 3, *extra]


FLOAT_BITS = {  # zeros, ones, smallest and largest subnormals and normals, infinities, NaNs of both kinds
    "float16": "0000 8000 3c00 bc00 0001 03ff 0400 7bff fbff 7c00 fc00 7e00 7d01 fe55",
    "bfloat16": "0000 8000 3f80 bf80 0001 007f 0080 7f7f ff7f 7f80 ff80 7fc0 7f81 ffd5",
    "float32": "00000000 80000000 3f800000 bf800000 00000001 007fffff 00800000 7f7fffff ff7fffff 7f800000 "
    "ff800000 7fc00000 7f800001 ffc12345 3dcccccd",
    "float64": "0000000000000000 8000000000000000 3ff0000000000000 bff0000000000000 0000000000000001 "
    "000fffffffffffff 0010000000000000 7fefffffffffffff ffefffffffffffff 7ff0000000000000 fff0000000000000 "
    "7ff8000000000000 7ff0000000000001 fff8123456789abc 3fb999999999999a",
}


def extreme(dtype: tf.DType) -> np.ndarray:
    """Return a vector of the extreme values of a dtype, or of all values if it has one byte or less."""
    name = dtype.name
    plain = {"qint8": "int8", "quint8": "uint8", "qint16": "int16", "quint16": "uint16", "qint32": "int32"}
    name = plain.get(name, name)
    if name in FLOAT_BITS:
        words = bytes.fromhex(FLOAT_BITS[name])
        width = len(FLOAT_BITS[name].split()[0]) // 2
        return np.frombuffer(words, f">u{width}").astype(f"<u{width}").view(dtype.as_numpy_dtype)
    if name.startswith("complex"):
        part = extreme(tf.float32 if name == "complex64" else tf.float64)
        return np.stack([part, part[::-1]], axis=1).reshape(-1).view(name)
    if name == "bool":
        return np.array([True, False, True])
    if name in ("int4", "uint4", "int2", "uint2"):
        info = ml_dtypes.iinfo(name)
        return np.arange(int(info.min), int(info.max) + 1).astype(dtype.as_numpy_dtype)
    if name == "float4_e2m1fn":
        return np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn)
    if name.startswith("float8"):
        return np.arange(256, dtype=np.uint8).view(dtype.as_numpy_dtype)
    if name in ("int8", "uint8"):
        return np.arange(256, dtype=np.uint8).view(name)
    return np.array(integers(name, *([-1] if name.startswith("int") else [])), name)


def constant(array: np.ndarray, dtype: tf.DType) -> tf.Tensor:
    """Return a tensor of these values; values of quantised dtypes are the bits of plain integers."""
    tensor = tf.constant(array)
    return tf.bitcast(tensor, dtype) if dtype.is_quantized else tensor


NOT_NUMERIC = (7, 20, 21)  # string, resource, variant
NUMERIC = [tf.as_dtype(code) for code in range(1, 34) if code not in NOT_NUMERIC]


# V2, by single ops --------------------------------------------------------------------------------


@case
def dtypes() -> Case:
    """Every numeric dtype as a scalar, a vector of extremes, a matrix and an empty tensor: one SaveV2."""
    pieces = []
    for dtype in NUMERIC:
        vector = extreme(dtype)
        pieces += [
            Piece(f"{dtype.name}/scalar", constant(vector[1], dtype)),
            Piece(f"{dtype.name}/vector", constant(vector, dtype)),
            Piece(f"{dtype.name}/matrix", constant(np.resize(vector, (2, 3)), dtype)),
            Piece(f"{dtype.name}/empty", constant(vector[:0].reshape(0, 3), dtype)),
        ]
    pieces += [
        Piece("string/scalar", tf.constant(b"hello")),
        Piece("string/vector", tf.constant([b"", b"\0", b"\xff", b"a" * 127, b"b" * 128])),
        Piece("string/matrix", tf.constant([[b"a", b"bc", b"def"], [b"", b"g", b"hi"]])),
        Piece("string/empty", tf.constant([], tf.string, shape=[0, 3])),
    ]
    save_v2("ckpt", pieces)
    return Case("tf.raw_ops.SaveV2", "ckpt", described_pieces("ckpt", pieces))


@case
def strings() -> Case:
    """String tensors by SaveV2; lengths whose varints have one, two and three bytes."""
    pieces = [
        Piece("scalar", tf.constant("hello")),
        Piece("empty_string", tf.constant("")),
        Piece("nuls", tf.constant([b"\0", b"a\0b", b"a\0", b"\0\0\0", b""])),
        Piece("not_utf8", tf.constant([b"\xff\xfe", b"\x80", b"caf\xe9", bytes(range(256))])),
        Piece("utf8", tf.constant(["caf\u00e9", "\u65e5\u672c", "\U0001f600"])),
        Piece("matrix", tf.constant([["a", "bb", ""], ["cccc", "d", "ee"]])),
        Piece("no_elements", tf.constant([], tf.string)),
        Piece("no_elements_2d", tf.constant([], tf.string, shape=[3, 0])),
        Piece("bytes_200", tf.constant(b"0123456789" * 20)),
        Piece("bytes_20000", tf.constant(b"0123456789" * 2000)),
        Piece("mixed_lengths", tf.constant([b"", b"x" * 127, b"y" * 128, b"z" * 300])),
    ]
    save_v2("ckpt", pieces)
    return Case("tf.raw_ops.SaveV2", "ckpt", described_pieces("ckpt", pieces))


def tensor_list(array: np.ndarray) -> tf.Tensor:
    shape = tf.constant(array.shape[1:], tf.int32)
    return tf.raw_ops.TensorListFromTensor(tensor=tf.constant(array), element_shape=shape)


@case
def variants() -> Case:
    """TensorLists by SaveV2: a scalar, an empty list, a list with unset elements, and stacked ones."""
    floats = tensor_list(np.array([[1, 2], [3, 4]], np.float32))
    more = tensor_list(np.array([[5, 6], [7, 8], [9, 10]], np.float32))
    texts = tensor_list(np.array([b"a", b"", b"c\0d"], object))
    reserved = tf.raw_ops.TensorListReserve(
        element_shape=tf.constant([2], tf.int32), num_elements=3, element_dtype=tf.int64
    )
    holes = tf.raw_ops.TensorListSetItem(input_handle=reserved, index=1, item=tf.constant([-1, 2**40]))
    empty = tf.raw_ops.EmptyTensorList(
        element_shape=tf.constant([2], tf.int32), max_num_elements=4, element_dtype=tf.bfloat16
    )
    pieces = [
        Piece("list", floats),
        Piece("strings", texts),
        Piece("with_unset", holes),
        Piece("empty_list", empty),
        Piece("vector", tf.stack([floats, more])),
        Piece("matrix", tf.stack([tf.stack([floats, more]), tf.stack([texts, empty])])),
        Piece("no_elements", tf.stack([floats, more])[:0]),
        Piece("beside", tf.constant([1, 2, 3])),
    ]
    save_v2("ckpt", pieces)
    return Case("tf.raw_ops.SaveV2", "ckpt", described_pieces("ckpt", pieces))


@case
def iterator() -> Case:
    """A dataset iterator's state, after two of its elements: tf.train.Checkpoint(iterator=...).write."""
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # how far it runs ahead varies
    dataset = tf.data.Dataset.range(10).batch(2).shuffle(3, seed=1).repeat(2)
    steps = iter(dataset.with_options(options))
    next(steps), next(steps)
    tf.train.Checkpoint(iterator=steps, step=tf.Variable(2, dtype=tf.int64)).write("ckpt")
    return Case("tf.train.Checkpoint.write", "ckpt", described_all("ckpt"))


SLICED = [
    *("float32", "int64", "float16", "uint16", "string"),
    *("bool", "bfloat16", "complex64", "float8_e5m2", "int4"),
]


@case
def sliced_dtypes() -> Case:
    """Ten dtypes cut along axis 0, axis 1 and both, unevenly and saved out of order: one SaveV2."""
    pieces = []
    for dtype in SLICED:
        array = ramp(dtype, 5, 4)
        pieces += sliced(f"{dtype}/axis0", array, "2,1:-", "0,2:-", "3,2:-")
        pieces += sliced(f"{dtype}/axis1", array, "-:0,3", "-:3,1")
        pieces += sliced(f"{dtype}/grid", array, "0,2:0,3", "0,2:3,1", "2,3:0,3", "2,3:3,1")
    save_v2("ckpt", pieces)
    return Case("tf.raw_ops.SaveV2", "ckpt", described_pieces("ckpt", pieces))


@case
def sliced_shapes() -> Case:
    """Slices of other ranks, uneven tilings, and slices that cover everything: one SaveV2."""
    pieces = [
        *sliced("vector", ramp("float32", 7), "0,1", "1,4", "5,2"),
        *sliced("single_rows", ramp("int32", 3, 2), "0,1:-", "1,1:-", "2,1:-"),
        *sliced("rank3", ramp("float32", 3, 2, 5), "0,1:-:0,5", "1,2:0,1:-", "1,2:1,1:0,2", "1,2:1,1:2,3"),
        *sliced("pinwheel", ramp("int16", 3, 3), "0,1:0,2", "0,2:2,1", "1,1:1,1", "1,2:0,1", "2,1:1,2"),
        *sliced("long", ramp("int32", 200), "0,64", "64,136"),
        *sliced("one_explicit", ramp("float32", 3, 4), "0,3:0,4"),
        *sliced("one_dashes", ramp("float32", 3, 4), "-:-"),
        *sliced(b"odd\0name\xff", ramp("int8", 4), "0,2", "2,2"),
        Piece("whole", tf.constant([1.5, 2.5])),
    ]
    save_v2("ckpt", pieces)
    return Case("tf.raw_ops.SaveV2", "ckpt", described_pieces("ckpt", pieces))


def unreadable(path: str, pieces: Sequence[Piece], *regions: str) -> list[dict[str, Any]]:
    """Return entries of sliced tensors that cannot be read whole: why not, and what can be read of each."""
    entries = []
    for key in sorted({piece.key for piece in pieces}):
        mine = [piece for piece in pieces if piece.key == key]
        shape, _ = extents(mine[0].spec)
        dtype = mine[0].tensor.dtype
        entry: dict[str, Any] = {**named(key), "dtype": dtype.name, "shape": shape, "source": "none"}
        entry["slices"] = [piece.spec.rpartition(" ")[2] for piece in mine]
        entry |= {"refused": {}, "pieces": []}
        try:
            restore(path, key, dtype)
        except tf.errors.OpError as error:
            entry["refused"]["RestoreV2"] = message(error)
        try:
            tf.train.load_checkpoint(path).get_tensor(key)
        except (tf.errors.OpError, ValueError) as error:
            entry["refused"]["CheckpointReader.get_tensor"] = message(error)
        assert entry["refused"], key
        for item in [*entry["slices"], *regions]:
            spec = " ".join([*map(str, shape), item])
            try:
                value = restore(path, key, dtype, spec).numpy()
            except tf.errors.OpError as error:
                entry["pieces"].append({"slice": item, "refused": message(error)})
            else:
                piece = {"slice": item, "shape": list(value.shape), **values(value, dtype.name)}
                entry["pieces"].append(piece)
        entries.append(entry)
    return entries


@case
def sliced_incomplete() -> Case:
    """Slices that leave out the middle or the end: SaveV2 accepts them, RestoreV2 does not."""
    pieces = [
        *sliced("hole", ramp("float32", 6, 4), "0,2:-", "4,2:-"),
        *sliced("no_end", ramp("float32", 6, 4), "0,3:-", "3,2:-"),
        *sliced("one_of_two", ramp("string", 4, 2), "2,2:0,2"),
    ]
    save_v2("ckpt", pieces)
    return Case("tf.raw_ops.SaveV2", "ckpt", unreadable("ckpt", pieces, "0,1:1,2", "2,2:1,1"))


@case
def sliced_overlapping() -> Case:
    """Slices that share a row, within one SaveV2 and across two that MergeV2Checkpoints merges."""
    array = ramp("float32", 5, 3)
    inside = sliced("inside", array, "0,3:-", "2,3:-")
    across = sliced("across", array, "0,3:-", "2,3:-")
    save_v2("part0", [*inside, across[0]])
    save_v2("part1", across[1:])
    merge(["part0", "part1"], "ckpt")
    call = "tf.raw_ops.SaveV2 twice, tf.raw_ops.MergeV2Checkpoints"
    return Case(call, "ckpt", unreadable("ckpt", [*inside, *across], "0,1:-"), facts={"num_shards": 2})


@case
def sharded() -> Case:
    """Three SaveV2 parts merged as 2, 0, 1; keys out of order, a tensor with slices in all three shards."""
    cut = sliced("m/cut", ramp("float64", 6, 2), "0,1:-", "1,3:-", "4,2:-")
    parts = [
        [Piece("z", tf.constant([1, 2, 3])), Piece("a", tf.constant(b"text")), cut[1]],
        [cut[2], Piece("k", tf.constant([[0.5]], tf.float16)), Piece("b", tf.constant(True))],
        [Piece("c", tf.constant([], tf.float32)), cut[0], Piece("y", tf.constant([1 + 2j], tf.complex128))],
    ]
    for number, pieces in enumerate(parts):
        save_v2(f"part{number}", pieces)
    merge(["part2", "part0", "part1"], "ckpt")
    call = "tf.raw_ops.SaveV2 three times, tf.raw_ops.MergeV2Checkpoints"
    return Case(call, "ckpt", described_pieces("ckpt", itertools.chain(*parts)), facts={"num_shards": 3})


@case
def names() -> Case:
    """Odd keys: one SaveV2. The empty key is not among them, because saving it aborts the process."""
    odd: list[str | bytes] = [
        " ",
        "with spaces ",
        "a/b/c",
        "a",
        "a/",
        "/",
        "//",
        ".",
        "..",
        "../up",
        "dots.in.the.name",
        "quo\"te'd",
        "back\\slash",
        "new\nline",
        "tab\tcr\r",
        "\x1b[31mred\x1b[0m",
        b"nul\0inside",
        b"\0",
        b"\0first",
        b"\xff",
        b"\xff\xffend\xff",
        b"latin-1 caf\xe9",
        "caf\u00e9",
        "\U0001f600",
        "\u202eright to left",
        "model.ckpt-7.index",
        "n" * 300,
        "_CHECKPOINTABLE_OBJECT_GRAPH_not",
        "{",
        "$weight:0",
        "[x]*?",
    ]
    pieces = [Piece(name, tf.constant(i, tf.int32)) for i, name in enumerate(odd)]
    save_v2("ckpt", pieces)
    return Case("tf.raw_ops.SaveV2", "ckpt", described_pieces("ckpt", pieces))


def many_names(count: int) -> list[str]:
    middle = "block/of/a/rather/long/name/"
    return [f"{hashlib.sha256(b'%d' % i).hexdigest()[:8]}/{middle * 5}{i}" for i in range(count)]


@case
def many() -> Case:
    """Enough entries for three data blocks in the index: one SaveV2. The values follow a rule."""
    keys = many_names(3060)
    pieces = [Piece(name, tf.constant([i, i + 1], tf.int32)) for i, name in enumerate(keys)]
    save_v2("ckpt", pieces)
    found = tf.train.load_checkpoint("ckpt").get_variable_to_shape_map()
    assert found == {name: [2] for name in keys}
    read = tf.raw_ops.RestoreV2(
        prefix="ckpt", tensor_names=keys, shape_and_slices=[""] * len(keys), dtypes=[tf.int32] * len(keys)
    )
    assert all(tensor.numpy().tolist() == [i, i + 1] for i, tensor in enumerate(read))
    rule = {
        "count": len(keys),
        "name": "sha256(str(i)).hexdigest()[:8] + '/' + 'block/of/a/rather/long/name/' * 5 + str(i)",
        "dtype": "int32",
        "value": "[i, i + 1]",
    }
    return Case("tf.raw_ops.SaveV2", "ckpt", [], facts={"rule": rule})


@case
def unaligned() -> Case:
    """Wide elements at odd offsets: one SaveV2, which pads nothing."""
    pieces = [
        Piece("a_int8", tf.constant([1, 2, 3], tf.int8)),
        Piece("b_float64", tf.constant([1.5, -2.5], tf.float64)),
        Piece("c_bool", tf.constant([True, False])),
        Piece("d_int16", tf.constant([-1, 300], tf.int16)),
        Piece("e_complex128", tf.constant([1 + 2j], tf.complex128)),
        Piece("f_string", tf.constant([b"odd"])),
        Piece("g_float32", tf.constant([[1.0, 2.0], [3.0, 4.0]])),
        Piece("h_bfloat16", tf.constant([0.5], tf.bfloat16)),
        Piece("i_int64", tf.constant(2**40, tf.int64)),
    ]
    save_v2("ckpt", pieces)
    return Case("tf.raw_ops.SaveV2", "ckpt", described_pieces("ckpt", pieces))


# V2, by tf.compat.v1.train.Saver ------------------------------------------------------------------


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def train_graph(use_resource: bool) -> tf.Operation:
    """Build a small TF1 model with Adam and an int64 global step; return the op that takes a step."""
    x = tf.constant(numbers(8, 3))
    with tf1.variable_scope("layer", use_resource=use_resource):
        w = tf1.get_variable("w", initializer=numbers(3, 2))
        b = tf1.get_variable("b", initializer=np.zeros(2, np.float32))
    with tf1.variable_scope("", use_resource=use_resource):
        step = tf1.train.get_or_create_global_step()
    loss = tf.reduce_mean(tf.square(tf.matmul(x, w) + b - 1.0))
    return tf1.train.AdamOptimizer(0.1).minimize(loss, global_step=step)


@case
def saver() -> Case:
    """tf.compat.v1.train.Saver with global_step: ref variables, Adam slots, two steps, relative paths."""
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(0)
        train = train_graph(use_resource=False)
        session.run(tf1.global_variables_initializer())
        writer = tf1.train.Saver()
        for step in range(1, 21):
            session.run(train)
            if step % 10 == 0:
                writer.save(session, "model.ckpt", global_step=step, write_meta_graph=step == 20)
    return Case(
        "tf.compat.v1.train.Saver().save(session, 'model.ckpt', global_step=step)",
        "model.ckpt-20",
        described_all("model.ckpt-20"),
        facts={"latest": "model.ckpt-20", "all_paths": ["model.ckpt-10", "model.ckpt-20"]},
    )


@case
def saver_absolute() -> Case:
    """As `saver`, with absolute paths in another directory, then moved: paths in the state file dangle."""
    elsewhere = Path("/tmp/train-on-another-machine")
    elsewhere.mkdir()  # fails if it exists, since this script must not remove it
    try:
        with tf.Graph().as_default(), tf1.Session() as session:
            tf1.set_random_seed(0)
            train = train_graph(use_resource=True)
            session.run(tf1.global_variables_initializer())
            writer = tf1.train.Saver(pad_step_number=True)
            for step in (6, 7):
                session.run(train)
                prefix = str(elsewhere / "model.ckpt")
                path = writer.save(session, prefix, global_step=step, write_meta_graph=False)
        for file in elsewhere.iterdir():
            shutil.move(file, file.name)
    finally:
        shutil.rmtree(elsewhere)
    name = Path(path).name
    return Case(
        f"tf.compat.v1.train.Saver(pad_step_number=True).save(session, '{prefix}', global_step=step)",
        name,
        described_all(name),
        facts={"latest": path, "all_paths": [path.replace("-00000007", "-00000006"), path]},
    )


@case
def partitioned_variable() -> Case:
    """tf.compat.v1.get_variable cut by fixed_size_partitioner along axis 0 and axis 1, saved by Saver."""
    with tf.Graph().as_default(), tf1.Session() as session:
        rows, columns = (tf1.fixed_size_partitioner(count, axis) for count, axis in ((3, 0), (2, 1)))
        table, kernel = tf.constant(numbers(7, 4)), tf.constant(numbers(3, 5))
        tf1.get_variable("emb/table", initializer=table, partitioner=rows, use_resource=False)
        tf1.get_variable("dense/kernel", initializer=kernel, partitioner=columns)
        tf1.get_variable("dense/bias", initializer=tf.constant(numbers(5)))
        tf1.train.get_or_create_global_step()
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, "model.ckpt", global_step=3)
    return Case(
        "tf.compat.v1.train.Saver().save(session, 'model.ckpt', global_step=3)",
        "model.ckpt-3",
        described_all("model.ckpt-3"),
        facts={"latest": "model.ckpt-3"},
    )


# Object-based -------------------------------------------------------------------------------------


class Tower(tf.Module):
    """Nested trackables: modules, lists, names that need escaping, children without values."""

    def __init__(self) -> None:
        super().__init__(name="tower")
        self.kernel = tf.Variable(numbers(2, 3), name="kernel")
        self.blocks = [{"w": tf.Variable(numbers(2) + i, name="w")} for i in range(2)]
        self.by_name = {
            "a/b": tf.Variable(1.0, name="ab"),
            ".x": tf.Variable(2.0, name="x"),
            "c.d": tf.Variable(3.0, name="cd"),
            "a.S/q": tf.Variable(4.0, name="q"),
            "caf\u00e9": tf.Variable([b"text", b""], name="cafe"),
        }
        self.shared = self.kernel
        self.no_values = {"settings": [tf.Module()]}


class Counter(tf.train.experimental.PythonState):
    """Python state that is saved as a string."""

    def __init__(self) -> None:
        self.count = 3

    def serialize(self) -> str:
        return json.dumps({"count": self.count})

    def deserialize(self, string_value: str) -> None:
        self.count = json.loads(string_value)["count"]


@case
def object_() -> Case:
    """tf.train.CheckpointManager over nested trackables, a Keras optimizer, a table, Python state."""
    tower = Tower()
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([tower.kernel])
    optimizer.apply([tf.ones_like(tower.kernel)])
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, default_value=-1)
    table.insert(["one"], tf.constant([1], tf.int64))
    checkpoint = tf.train.Checkpoint(
        tower=tower,
        optimizer=optimizer,
        table=table,
        python=Counter(),
        generator=tf.random.Generator.from_seed(7),
        step=tf.Variable(11, dtype=tf.int64, name="step"),
    )
    manager = tf.train.CheckpointManager(checkpoint, "checkpoints", max_to_keep=2)
    for _ in range(3):
        manager.save()
    return Case(
        "tf.train.CheckpointManager(checkpoint, 'checkpoints', max_to_keep=2).save()",
        "checkpoints/ckpt-3",
        described_all("checkpoints/ckpt-3"),
        facts={"directory": "checkpoints", "latest": "ckpt-3", "all_paths": ["ckpt-2", "ckpt-3"]},
    )


@case
def object_slots() -> Case:
    """tf.train.Checkpoint with an optimizer of tf.compat.v1, whose slots have keys below the variable."""
    v = tf.Variable(numbers(3), name="vv")
    optimizer = tf1.train.AdamOptimizer(0.1)
    optimizer.apply_gradients([(tf.ones_like(v), v)])
    tf.train.Checkpoint(v=v, opt=optimizer).save("ckpt")
    return Case("tf.train.Checkpoint.save", "ckpt-1", described_all("ckpt-1"), facts={"latest": "ckpt-1"})


@case
def object_empty() -> Case:
    """The nearest to a checkpoint without tensors: an object graph and nothing else.

    SaveV2 and SaveSlices require a tensor, and MergeV2Checkpoints a part.
    """
    tf.train.Checkpoint().write("ckpt")
    return Case("tf.train.Checkpoint().write", "ckpt", described_all("ckpt"))


@case
def object_root_variable() -> Case:
    """A variable that is itself the root: its key begins with a slash."""
    tf.train.Checkpoint(tf.Variable(2.5, name="alone")).write("ckpt")
    return Case("tf.train.Checkpoint(variable).write", "ckpt", described_all("ckpt"))


@case
def max_shard() -> Case:
    """MaxShardSizePolicy: several shards, and ordinary variables cut into slices to fill them."""
    checkpoint = tf.train.Checkpoint(
        big=tf.Variable(numbers(100, 10), name="big"),
        half=tf.Variable(ramp("float16", 40, 50), name="half"),
        ids=tf.Variable(np.arange(500, dtype=np.int64), name="ids"),
        scalar=tf.Variable(3.5, name="scalar"),
        text=tf.Variable([b"some", b"words"], name="text"),
    )
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=3000)
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
    checkpoint.write("ckpt", options)
    fed = {"half": checkpoint.half, "big": checkpoint.big, "ids": checkpoint.ids}
    reader = tf.train.load_checkpoint("ckpt")
    tensors = []
    for name, dtype in sorted(reader.get_variable_to_dtype_map().items()):
        variable = fed.get(name.partition("/")[0])
        pieces = [] if variable is None else [Piece(name, tf.constant(variable.numpy()))]
        tensors.append(described("ckpt", name.encode(), dtype, pieces))
    call = "tf.train.Checkpoint.write, MaxShardSizePolicy(max_shard_size=3000)"
    return Case(call, "ckpt", tensors, facts={"num_shards": len(list(Path().glob("ckpt.data-*")))})


@case
def keras3() -> Case:
    """A Keras 3 model and its optimizer by tf.train.Checkpoint.

    save_weights of Keras 3 has no TensorFlow format: it refuses names that do not end in .weights.h5.
    """
    keras.utils.set_random_seed(0)
    keras.backend.clear_session()
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, activation="relu", name="d1"),
            keras.layers.BatchNormalization(name="bn"),
            keras.layers.Dense(2, name="d2"),
        ],
        name="small",
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(numbers(16, 4), numbers(16, 2), epochs=1, verbose=0)
    try:
        model.save_weights("weights")
    except ValueError:
        pass
    else:
        raise AssertionError("Keras writes a TensorFlow format again: add a case for it")
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).save("ckpt")
    facts = {"keras": keras.__version__, "latest": "ckpt-1"}
    call = "tf.train.Checkpoint(model=..., optimizer=...).save"
    return Case(call, "ckpt-1", described_all("ckpt-1"), facts=facts)


class Servable(tf.Module):
    """Variables, an asset and a signature."""

    def __init__(self, vocabulary: str) -> None:
        super().__init__(name="servable")
        self.w = tf.Variable(numbers(2, 3), name="w")
        self.b = tf.Variable(np.zeros(3, np.float32), name="b", trainable=False)
        self.step = tf.Variable(5, dtype=tf.int64, name="step", trainable=False)
        self.vocabulary = tf.saved_model.Asset(vocabulary)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(tf.matmul(x, self.w), self.b, name="y")


@case
def saved_model() -> Case:
    """tf.saved_model.save of a tf.Module with a signature and one asset."""
    source = Path("vocabulary.txt")
    source.write_text("zero\none\ntwo\n")
    module = Servable(str(source))
    tf.saved_model.save(module, "model", signatures=module.__call__)
    source.unlink()
    path = "model/variables/variables"
    facts = {"saved_model": "model", "assets": ["vocabulary.txt"]}
    return Case("tf.saved_model.save", path, described_all(path), facts=facts)


# V1 -----------------------------------------------------------------------------------------------

# The dtypes that SaveSlices takes: not bfloat16, qint16, quint16, uint32, uint64, nor any newer one.
V1_DTYPES = [
    *("float32", "float64", "int32", "uint8", "int16", "int8", "complex64", "int64"),
    *("bool", "qint8", "quint8", "qint32", "uint16", "complex128", "float16"),
]


@case
def v1_whole() -> Case:
    """Every dtype that a V1 file can hold, whole: one SaveSlices, the op of Saver(write_version=V1)."""
    pieces = []
    for name in V1_DTYPES:
        dtype = tf.as_dtype(name)
        vector = extreme(dtype)
        pieces += [
            Piece(f"{name}/vector", constant(vector, dtype)),
            Piece(f"{name}/scalar", constant(vector[1], dtype)),
            Piece(f"{name}/matrix", constant(np.resize(vector, (2, 3)), dtype)),
            Piece(f"{name}/empty", constant(vector[:0].reshape(0, 3), dtype)),
        ]
    pieces += [
        Piece("string/scalar", tf.constant("hello")),
        Piece("string/vector", tf.constant([b"", b"\0", b"a\0", b"\xff\xfe", b"x" * 200])),
        Piece("string/empty", tf.constant([], tf.string, shape=[0, 3])),
        Piece("odd\0name\u00ff", tf.constant([1.0, 2.0])),
    ]
    save_slices("v1.ckpt", pieces)
    return Case("tf.raw_ops.SaveSlices", "v1.ckpt", described_pieces("v1.ckpt", pieces), "v1")


@case
def v1_not_utf8() -> Case:
    """A key that is not UTF-8: SaveSlices writes it, but TensorFlow can read nothing of the file."""
    pieces = [Piece(b"caf\xe9", tf.constant([1.0, 2.0])), Piece("plain", tf.constant([3, 4]))]
    save_slices("v1.ckpt", pieces)
    return Case("tf.raw_ops.SaveSlices", "v1.ckpt", described_pieces("v1.ckpt", pieces), "v1")


@case
def v1_sliced() -> Case:
    """Slices along axis 0, axis 1 and both in a V1 file: one SaveSlices."""
    pieces = []
    for dtype in ["float32", "int64", "float16", "uint16", "string", "bool", "complex64"]:
        array = ramp(dtype, 5, 4)
        pieces += sliced(f"{dtype}/axis0", array, "2,1:-", "0,2:-", "3,2:-")
        pieces += sliced(f"{dtype}/axis1", array, "-:0,3", "-:3,1")
        pieces += sliced(f"{dtype}/grid", array, "0,2:0,3", "0,2:3,1", "2,3:0,3", "2,3:3,1")
    pieces += sliced("one_explicit", ramp("float32", 3, 4), "0,3:0,4")
    pieces += [Piece("whole", tf.constant([1.5, 2.5]))]
    save_slices("v1.ckpt", pieces)
    return Case("tf.raw_ops.SaveSlices", "v1.ckpt", described_pieces("v1.ckpt", pieces), "v1")


@case
def v1_saver() -> Case:
    """tf.compat.v1.train.Saver(write_version=V1) with global_step: one file without a suffix."""
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(0)
        train = train_graph(use_resource=False)
        session.run(tf1.global_variables_initializer())
        session.run(train)
        writer = tf1.train.Saver(write_version=tf1.train.SaverDef.V1)
        writer.save(session, "model.ckpt", global_step=1)
    return Case(
        "tf.compat.v1.train.Saver(write_version=V1).save(session, 'model.ckpt', global_step=1)",
        "model.ckpt-1",
        described_all("model.ckpt-1"),
        "v1",
        facts={"latest": "model.ckpt-1"},
    )


@case
def v1_sharded() -> Case:
    """Saver(sharded=True, write_version=V1) over two devices: two files, a tensor with slices in both."""
    config = tf1.ConfigProto(device_count={"CPU": 2})

    def device(op: tf.Operation) -> str:
        return "/cpu:1" if "part_1" in op.name or op.name.startswith("second") else "/cpu:0"

    with tf.Graph().as_default() as graph, tf1.Session(config=config) as session:
        with graph.device(device):
            halves = tf1.fixed_size_partitioner(2)
            both, first, second = (
                tf.constant(numbers(5, 3)),
                tf.constant(numbers(4)),
                tf.constant([b"a", b"bc"]),
            )
            tf1.get_variable("both", initializer=both, partitioner=halves, use_resource=False)
            tf1.get_variable("first", initializer=first, use_resource=False)
            tf1.get_variable("second", initializer=second, use_resource=False)
            tf1.train.get_or_create_global_step()
        session.run(tf1.global_variables_initializer())
        writer = tf1.train.Saver(sharded=True, write_version=tf1.train.SaverDef.V1)
        path = writer.save(session, "model.ckpt", global_step=2)
    return Case(
        "tf.compat.v1.train.Saver(sharded=True, write_version=V1).save(session, 'model.ckpt', global_step=2)",
        path,
        described_all(path),
        "v1",
        facts={"latest": path, "num_shards": 2},
    )


# Writing ------------------------------------------------------------------------------------------


def as_json(name: str, made: Case) -> str:
    """Return the JSON of a case, with one tensor on each line so that diffs are readable."""
    head: Mapping[str, Any] = {
        "case": name,
        "tensorflow": tf.__version__,
        "call": made.call,
        "format": made.format,
        "path": made.path,
        **made.facts,
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    tensors = ",\n".join(f"  {json.dumps(tensor)}" for tensor in made.tensors)
    body = f"[\n{tensors}\n ]" if tensors else "[]"
    return "\n".join(["{", *lines, f' "tensors": {body}', "}"]) + "\n"


def make(name: str) -> None:
    """Run a case in a directory of its own, then move what it wrote into place."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, name)
        folder.mkdir()
        os.chdir(folder)
        try:
            keras.utils.set_random_seed(0)
            made = CASES[name]()
        finally:
            os.chdir(home)
        target = GOLDEN / name
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, target)
    (GOLDEN / f"{name}.json").write_text(as_json(name, made), encoding="utf-8")


def main() -> None:
    """Write the cases that are missing, or those asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.make_golden", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--force", action="store_true", help="rewrite existing cases")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    tf.config.experimental.enable_op_determinism()
    for name in arguments.cases or CASES:
        if arguments.force or not (GOLDEN / f"{name}.json").exists():
            sys.stderr.write(f"{name}\n")
            make(name)


if __name__ == "__main__":
    main()
