"""TensorFlow writes what hypothesis draws; this package and TensorFlow read the same values."""

from __future__ import annotations

import math
import random
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

import ckptfmt
from ckptfmt.arrays.decode import decode_tensor_proto
from ckptfmt.checkpoint.entry import name_of
from ckptfmt.dtypes import DTYPES, DType, Storage
from ckptfmt.errors import CkptfmtError
from ckptfmt.proto.messages import TensorProto, TensorShapeProto

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow

SETTINGS = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

STORABLE = [dtype for dtype in DTYPES.values() if dtype.storage not in (Storage.NONE, Storage.VARIANT)]
IN_V1 = [
    dtype
    for dtype in STORABLE
    if dtype.name
    in (
        *("float32", "float64", "int32", "uint8", "int16", "int8", "string", "complex64", "int64", "bool"),
        *("qint8", "quint8", "qint32", "uint16", "complex128", "float16"),
    )
]
"""The dtypes that SaveSlices takes."""

NOT_STITCHED = {
    *("float16", "string", "uint16", "uint32", "uint64", "qint16", "quint16", "uint4", "int2", "uint2"),
    *(
        "float8_e5m2",
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e4m3b11fnuz",
        "float8_e5m2fnuz",
        "float4_e2m1fn",
    ),
}
"""Dtypes whose slices RestoreV2 does not put together: 'Dtype half not supported'."""

WIDER: dict[str, Any] = {
    **dict.fromkeys(("int4", "uint4", "int2", "uint2"), np.int8),
    "float4_e2m1fn": np.float32,
}
"""Dtypes of less than a byte are compared as wider ones: the unused bits of their bytes mean nothing."""


class Tensor(NamedTuple):
    """A tensor to save."""

    key: bytes
    dtype: DType
    array: np.ndarray
    parts: list[tuple[slice, ...]]
    """The slices in which to save it; empty to save it whole."""
    shards: list[int]
    """The shard of each slice, or of the whole tensor."""


NAMES = st.text(min_size=1, max_size=6).map(lambda name: name.encode("utf-8", "replace"))


@st.composite
def tensors(
    draw: st.DrawFn, dtypes: list[DType], shards: int, names: st.SearchStrategy[bytes] = NAMES
) -> list[Tensor]:
    keys = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    return [draw(tensor(key, dtypes, shards)) for key in keys]


@st.composite
def tensor(draw: st.DrawFn, key: bytes, dtypes: list[DType], shards: int) -> Tensor:
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(stn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    array = values(dtype, shape, draw(st.randoms(use_true_random=False)))
    boxes = [tuple(slice(0, size) for size in shape)]
    for _ in range(draw(st.integers(0, 4)) if array.size > 1 else 0):
        box = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        axes = [axis for axis, item in enumerate(box) if item.stop - item.start > 1]
        if not axes:
            boxes.append(box)
            continue
        axis = draw(st.sampled_from(axes))
        cut = draw(st.integers(box[axis].start + 1, box[axis].stop - 1))
        halves = (slice(box[axis].start, cut), slice(cut, box[axis].stop))
        boxes += [(*box[:axis], half, *box[axis + 1 :]) for half in halves]
    parts = draw(st.permutations(boxes)) if len(boxes) > 1 else []
    places = st.integers(0, shards - 1)
    return Tensor(key, dtype, array, parts, [draw(places) for _ in parts or [()]])


def values(dtype: DType, shape: tuple[int, ...], rng: random.Random) -> np.ndarray:
    """Return random bits of a dtype, which include NaNs with payloads, denormals and negative zeros."""
    count = math.prod(shape)
    if dtype.storage is Storage.STRING:
        array = np.empty(count, object)
        array[:] = [rng.randbytes(rng.choice([0, 1, 7, 130])) for _ in range(count)]
        return array.reshape(shape)
    if dtype.name == "bool":
        return np.array([rng.random() < 0.5 for _ in range(count)], bool).reshape(shape)
    if dtype.storage is Storage.LOW_BITS:
        numbers = np.array([rng.randrange(2**dtype.bits) for _ in range(count)], np.uint8)
        if dtype.name == "float4_e2m1fn":
            return numbers.view(ml_dtypes.float4_e2m1fn).reshape(shape)
        half = 2 ** (dtype.bits - 1) if dtype.signed else 0
        return (numbers.astype(np.int64) - half).astype(dtype.numpy).reshape(shape)
    return np.frombuffer(rng.randbytes(count * dtype.numpy.itemsize), dtype.numpy).reshape(shape)


def to_tensorflow(dtype: DType, array: np.ndarray) -> Any:
    if dtype.storage is Storage.STRING:
        return tf.reshape(tf.constant(array.ravel().tolist(), tf.string), array.shape)
    if dtype.name.startswith(("qint", "quint")):
        return tf.bitcast(tf.constant(array), tf.as_dtype(dtype.name))
    return tf.constant(array, tf.as_dtype(dtype.name))


def comparable(dtype: DType, array: Any) -> Any:
    """Return something that is equal for arrays of the same values, whatever NaNs they hold."""
    if dtype.storage is Storage.STRING:
        array = np.asarray(array, object)
        return (array.shape, array.ravel().tolist())
    array = np.asarray(array)
    return (array.shape, array.astype(WIDER.get(dtype.name, array.dtype)).tobytes())


def spec(shape: tuple[int, ...], part: tuple[slice, ...]) -> str:
    items = ":".join(f"{item.start},{item.stop - item.start}" for item in part)
    return " ".join([*map(str, shape), items])


def save(op: Any, tensors: list[Tensor], paths: list[str]) -> list[str]:
    """Let an op write each shard that has anything in it; return the paths of those."""
    written = []
    for number, path in enumerate(paths):
        keys, specs, arrays = [], [], []
        for key, dtype, array, parts, shards in tensors:
            for part, shard in zip(parts or [None], shards, strict=True):
                if shard == number:
                    keys.append(key)
                    specs.append("" if part is None else spec(array.shape, part))
                    arrays.append(to_tensorflow(dtype, array if part is None else array[part]))
        if keys:
            op(path, tf.constant(keys, tf.string), specs, arrays)
            written.append(path)
    return written


def restore(path: str, key: bytes, dtype: DType) -> np.ndarray | None:
    """Return what TensorFlow reads of a tensor, or None if it does not put its slices together."""
    try:
        (restored,) = tf.raw_ops.RestoreV2(
            prefix=path, tensor_names=[key], shape_and_slices=[""], dtypes=[tf.as_dtype(dtype.name)]
        )
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        if "not supported" not in str(error):
            raise
        return None
    return restored.numpy()


def check(path: str, tensors: list[Tensor], *, copied: bool) -> None:
    """Read tensors in every possible way, and compare them with what was written."""
    ckpt = ckptfmt.open(path)
    assert list(ckpt) == [name_of(key) for key in sorted(tensor.key for tensor in tensors)]
    everything = ckpt.read(copy=copied)
    for key, dtype, array, parts, _ in tensors:
        name = name_of(key)
        entry = ckpt.entries[name]
        assert (entry.dtype, entry.shape, len(entry.slices)) == (dtype, array.shape, len(parts))
        written = comparable(dtype, array)
        assert comparable(dtype, ckpt[name]) == written
        assert comparable(dtype, everything[name]) == written
        for part in parts:
            assert comparable(dtype, ckpt.slice(name)[part]) == comparable(dtype, array[part])
        restored = restore(path, key, dtype)
        if restored is None:
            assert parts
            assert dtype.name in NOT_STITCHED
            event("TensorFlow does not put the slices together")
        else:
            assert comparable(dtype, restored) == written
        if not parts and ckpt.format == "v2":
            assert comparable(dtype, tf.train.load_checkpoint(path).get_tensor(key)) == written
    report = ckpt.verify()
    assert report.problems == []
    assert report.tensors == report.tensors_checked == len(tensors)


def save_v2(path: str, keys: Any, specs: list[str], arrays: list[Any]) -> None:
    tf.raw_ops.SaveV2(prefix=path, tensor_names=keys, shape_and_slices=specs, tensors=arrays)


def save_slices(path: str, keys: Any, specs: list[str], arrays: list[Any]) -> None:
    tf.raw_ops.SaveSlices(filename=path, tensor_names=keys, shapes_and_slices=specs, data=arrays)


@SETTINGS
@given(st.data(), st.integers(1, 3), st.booleans())
def test_bundles_read_as_they_were_written(data: st.DataObject, shards: int, copied: bool) -> None:
    drawn = data.draw(tensors(STORABLE, shards, NAMES | st.binary(min_size=1, max_size=6)))
    with tempfile.TemporaryDirectory() as folder:
        parts = save(save_v2, drawn, [f"{folder}/part{number}" for number in range(shards)])
        path = f"{folder}/ckpt"
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=data.draw(st.permutations(parts)), destination_prefix=path
        )
        assert len(list(Path(folder).glob("ckpt.data-*"))) == len(parts)
        check(path, drawn, copied=copied)


@SETTINGS
@given(st.data(), st.integers(1, 3), st.booleans())
def test_v1_files_read_as_they_were_written(data: st.DataObject, shards: int, copied: bool) -> None:
    drawn = data.draw(tensors(IN_V1, shards))
    # An empty shard is never written, so number the others from 0.
    used = sorted({shard for each in drawn for shard in each.shards})
    drawn = [each._replace(shards=[used.index(shard) for shard in each.shards]) for each in drawn]
    with tempfile.TemporaryDirectory() as folder:
        if len(used) == 1:
            path, paths = f"{folder}/ckpt", [f"{folder}/ckpt"]
        else:
            path = f"{folder}/ckpt-?????-of-{len(used):05d}"
            paths = [f"{folder}/ckpt-{i:05d}-of-{len(used):05d}" for i in range(len(used))]
        assert save(save_slices, drawn, paths) == paths
        check(path, drawn, copied=copied)


# --- TensorProto -----------------------------------------------------------------------------------------

_INTS = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=7)
VALUES: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    **dict.fromkeys(
        ("int32", "int16", "uint16", "int8", "uint8", "qint8", "quint8", "qint32", "qint16", "quint16"),
        ("int_val", _INTS),
    ),
    **dict.fromkeys(("int4", "uint4"), ("int_val", st.lists(st.integers(0, 7), max_size=7))),
    **dict.fromkeys(("float16", "bfloat16"), ("half_val", st.lists(st.integers(0, 2**16 - 1), max_size=7))),
    "float32": ("float_val", st.lists(st.floats(width=32), max_size=7)),
    "float64": ("double_val", st.lists(st.floats(), max_size=7)),
    "complex64": ("scomplex_val", st.lists(st.floats(width=32), max_size=4).map(lambda x: x * 2)),
    "complex128": ("dcomplex_val", st.lists(st.floats(), max_size=4).map(lambda x: x * 2)),
    "int64": ("int64_val", st.lists(st.integers(-(2**63), 2**63 - 1), max_size=7)),
    "uint32": ("uint32_val", st.lists(st.integers(0, 2**32 - 1), max_size=7)),
    "uint64": ("uint64_val", st.lists(st.integers(0, 2**64 - 1), max_size=7)),
    "bool": ("bool_val", st.lists(st.booleans(), max_size=7)),
    "string": ("string_val", st.lists(st.binary(max_size=5), max_size=7)),
}


def parsed(dtype: DType, serialized: bytes) -> Any:
    """Return what TensorFlow's C++ code makes of a TensorProto, or None if it refuses it."""
    try:
        tensor = tf.io.parse_tensor(serialized, tf.as_dtype(dtype.name))
    except tf.errors.InvalidArgumentError:
        return None
    return comparable(dtype, tensor.numpy())


def decoded(dtype: DType, serialized: bytes) -> Any:
    try:
        return comparable(dtype, decode_tensor_proto(serialized))
    except CkptfmtError:
        return None


@settings(max_examples=300)
@given(
    st.sampled_from([dtype for dtype in STORABLE if dtype.name in VALUES]),
    stn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    st.data(),
)
def test_values_in_a_tensor_proto_are_those_that_tensorflow_reads(
    dtype: DType, shape: tuple[int, ...], data: st.DataObject
) -> None:
    field, numbers = VALUES[dtype.name]
    message = TensorProto(
        dtype=dtype.code,  # type: ignore[arg-type]
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape]),
    )
    getattr(message, field).extend(data.draw(numbers))
    serialized = message.SerializeToString()
    assert decoded(dtype, serialized) == parsed(dtype, serialized)


SERIALIZED = {
    *("bool", "complex64", "complex128", "float64", "float32", "bfloat16", "float16", "string"),
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
}
"""The dtypes that SerializeTensor takes."""


@settings(max_examples=200)
@given(
    st.sampled_from([dtype for dtype in STORABLE if dtype.name in SERIALIZED]),
    stn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    st.randoms(use_true_random=False),
    st.integers(-1, 1),
)
def test_the_content_of_a_tensor_proto_is_what_tensorflow_reads(
    dtype: DType, shape: tuple[int, ...], rng: random.Random, surplus: int
) -> None:
    serialized = tf.io.serialize_tensor(to_tensorflow(dtype, values(dtype, shape, rng))).numpy()
    assert decoded(dtype, serialized) == parsed(dtype, serialized) is not None
    message = TensorProto.FromString(serialized)
    content = message.tensor_content
    if content and surplus:
        message.tensor_content = content + b"\x00" if surplus > 0 else content[:-1]
        serialized = message.SerializeToString()
        assert decoded(dtype, serialized) == parsed(dtype, serialized)
