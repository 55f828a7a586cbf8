"""``CheckpointWriter`` writes the bytes of TensorFlow's ops, and TensorFlow restores what it writes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

import ckptfmt
from ckptfmt.checkpoint.slices import FULL
from ckptfmt.dtypes import DTYPES, DType, Storage
from ckptfmt.filenames import shard_path
from ckptfmt.storage.local import filesystem_of
from ckptfmt.table import Table
from tests.support.corpus import CORPUS
from tests.support.slices import tilings

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow

NUMBERS = [dtype for dtype in DTYPES.values() if dtype.itemsize is not None]

NAMES = st.one_of(
    st.text(st.sampled_from("abcé/._:0 \U0001f600"), min_size=1, max_size=12),
    st.binary(min_size=1, max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape")),
    st.sampled_from(["layer/kernel", "layer/kernel/.ATTRIBUTES/VARIABLE_VALUE", "layer"]),
    st.integers(0, 300).map(lambda count: "long/" * 60 + "x" * count),
).filter(lambda name: not name.startswith("\0"))

STRINGS = st.binary(max_size=20) | st.sampled_from(
    [b"", b"\0", b"a\0", bytes(127), bytes(128), bytes(20_000)]
)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[DType, np.ndarray]:
    """A tensor of any dtype but variants: what TensorFlow calls its dtype, and its values."""
    shape = draw(stn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    dtype = draw(st.sampled_from([*NUMBERS, DTYPES[7]]))
    if dtype.storage is Storage.STRING:
        return dtype, draw(stn.arrays(object, shape, elements=STRINGS))
    if dtype.storage is Storage.LOW_BITS:
        low = draw(stn.arrays(np.uint8, shape, elements=st.integers(0, (1 << dtype.bits) - 1)))
        return dtype, low.view(dtype.numpy)
    if dtype.name == "bool":
        return dtype, draw(stn.arrays(np.bool_, shape))
    nbytes = int(np.prod(shape)) * dtype.numpy.itemsize
    data = draw(st.binary(min_size=nbytes, max_size=nbytes))
    return dtype, np.frombuffer(data, dtype.numpy).reshape(shape)


def as_tf(dtype: DType, array: np.ndarray) -> Any:
    """A tensor of TensorFlow; quantised ones have no other way."""
    if dtype.name.startswith("q"):
        return tf.bitcast(tf.constant(array), tf.dtypes.as_dtype(dtype.name))
    return tf.constant(array, tf.dtypes.as_dtype(dtype.name))


def key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def save(prefix: Path, names: list[str], values: list[Any], specs: list[str] | None = None) -> None:
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(map(key, names)),
        shape_and_slices=specs or [""] * len(names),
        tensors=values,
    )


def assert_same_files(ours: Path, theirs: Path, num_shards: int = 1) -> None:
    assert Path(f"{ours}.index").read_bytes() == Path(f"{theirs}.index").read_bytes()
    for number in range(num_shards):
        mine, other = (Path(shard_path(str(prefix), number, num_shards)) for prefix in (ours, theirs))
        assert mine.read_bytes() == other.read_bytes()


# --- the same bytes ------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.dictionaries(NAMES, tensors(), min_size=1, max_size=30), st.booleans())
def test_the_files_are_those_of_savev2(drawn: dict[str, tuple[DType, np.ndarray]], together: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        save(theirs, list(drawn), [as_tf(*each) for each in drawn.values()])
        with ckptfmt.CheckpointWriter(ours, sync=False) as writer:
            if together:
                arrays = {name: array for name, (_, array) in drawn.items()}
                writer.add_all(arrays, dtypes={name: dtype for name, (dtype, _) in drawn.items()})
            else:
                for name, (dtype, array) in drawn.items():
                    writer.add(name, array, dtype=dtype)
        assert_same_files(ours, theirs)
        with ckptfmt.open(ours) as ckpt:
            for name, (dtype, array) in drawn.items():
                assert ckpt.entries[name].dtype == dtype
                assert ckpt[name].tolist() == array.tolist() or ckpt[name].tobytes() == array.tobytes()


def test_the_files_of_many_tensors_are_those_of_savev2(tmp_path: Path) -> None:
    # Names that share up to 300 bytes, several blocks, offsets of up to four bytes.
    rng = np.random.default_rng(0)
    names = [f"{'scope/' * (i % 7 * 8)}layer_{i}/{'kernel' if i % 2 else 'bias'}" for i in range(20_000)]
    arrays = [rng.random((i % 3, 4 + i % 2), np.float32) for i in range(len(names))]
    rng.shuffle(names)
    save(tmp_path / "theirs", names, arrays)
    with ckptfmt.CheckpointWriter(tmp_path / "ours") as writer:
        writer.add_all(dict(zip(names, arrays, strict=True)))
    assert_same_files(tmp_path / "ours", tmp_path / "theirs")


@st.composite
def sharded(draw: st.DrawFn) -> tuple[int, list[tuple[str, str, np.ndarray, int]]]:
    """Whole and sliced tensors in some order over some shards: name, spec, values, number of the shard."""
    count = draw(st.integers(1, 3))
    pieces = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=6, unique=True)):
        shape, parts = draw(tilings())
        array = draw(stn.arrays(np.int32, shape, elements=st.integers(-5, 5)))
        for part in parts:
            shard = draw(st.integers(0, count - 1))
            region = tuple(slice(*bounds) for bounds in part.region(shape))
            text = ":".join("-" if length == FULL else f"{start},{length}" for start, length in part.extents)
            spec = f"{' '.join(map(str, shape))} {text}" if shape else ""
            pieces.append((name, spec, np.asarray(array[region]), shard))
    return count, draw(st.permutations(pieces))


@settings(max_examples=60)
@given(sharded())
def test_the_files_are_those_that_tensorflow_merges(
    drawn: tuple[int, list[tuple[str, str, np.ndarray, int]]],
) -> None:
    _, pieces = drawn
    # TensorFlow has no shard without tensors.
    used = sorted({shard for *_, shard in pieces})
    count = len(used)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        parts = [Path(folder, f"part{number}") for number in range(count)]
        for number, part in enumerate(parts):
            mine = [each for each in pieces if each[3] == used[number]]
            save(part, [each[0] for each in mine], [each[2] for each in mine], [each[1] for each in mine])
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=list(map(str, parts)), destination_prefix=str(theirs)
        )
        with ckptfmt.CheckpointWriter(ours, num_shards=count, sync=False) as writer:
            for name, spec, values, shard in pieces:
                if spec:
                    *sizes, part = spec.split(" ")
                    writer.add_slice(name, list(map(int, sizes)), part, values, shard=used.index(shard))
                else:
                    writer.add(name, values, shard=used.index(shard))
        assert_same_files(ours, theirs, count)


def test_the_slices_of_a_partitioned_variable_are_those_of_a_saver(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable(
            "p",
            [10, 4],
            partitioner=v1.fixed_size_partitioner(3),
            initializer=v1.random_uniform_initializer(),
        )
        v1.get_variable("a", [3], initializer=v1.ones_initializer())
        session.run(v1.global_variables_initializer())
        theirs = Path(v1.train.Saver().save(session, str(tmp_path / "theirs"), write_meta_graph=False))
    with ckptfmt.open(theirs) as ckpt, ckptfmt.CheckpointWriter(tmp_path / "ours") as writer:
        writer.add("a", ckpt["a"])
        for part in ckpt.entries["p"].slices:
            region = tuple(slice(*bounds) for bounds in part.region((10, 4)))
            writer.add_slice("p", (10, 4), part, ckpt["p"][region])
    assert_same_files(tmp_path / "ours", theirs)


# --- the corpus ----------------------------------------------------------------------------------------

OTHER_SNAPPY = "tfdf_adult_rf"
"""Its index was compressed by a version of snappy that finds other matches."""


def written_again(source: ckptfmt.Checkpoint, prefix: Path, compression: Any) -> None:
    """Write a checkpoint tensor by tensor, each shard in the order of its data."""
    pieces = sorted((entry.shard, entry.offset, name) for name, entry in source.entries.items())
    with ckptfmt.CheckpointWriter(prefix, num_shards=source.num_shards, compression=compression) as writer:
        for shard, _, name in pieces:
            writer.add(name, source[name], dtype=source.entries[name].dtype, shard=shard)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "index",
    [pytest.param(path, id=path.relative_to(CORPUS).as_posix()) for path in sorted(CORPUS.rglob("*.index"))],
)
def test_a_checkpoint_of_the_corpus_is_written_again(index: Path, tmp_path: Path) -> None:
    theirs = index.with_suffix("")
    if not list(index.parent.glob(f"{theirs.name}.data-*")):
        pytest.skip("the corpus has no data of it")
    with ckptfmt.open(theirs) as source:
        # Some of Google's own builds compress the index.
        table = Table(filesystem_of().open(str(index)))
        last = table.handles[-1]
        is_compressed = index.read_bytes()[last.offset + last.size] == 1
        written_again(source, tmp_path / "again", "snappy" if is_compressed else None)
        assert ckptfmt.open(tmp_path / "again").entries == source.entries
        if OTHER_SNAPPY not in index.parts:
            assert_same_files(tmp_path / "again", theirs, source.num_shards)


# --- TensorFlow reads it -------------------------------------------------------------------------------

OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_shards": 3},
    {"num_shards": 100},
    {"max_shard_bytes": 1000},
    {"block_size": 1},
    {"block_size": 100},
    {"block_size": 4096, "compression": "snappy"},
    {"compression": "snappy"},
    {"alignment": 64},
    {"alignment": 4096, "num_shards": 2},
]


def every_dtype() -> dict[str, tuple[DType, np.ndarray]]:
    rng = np.random.default_rng(0)
    values = {}
    for dtype in NUMBERS:
        numbers = rng.integers(0, 2 if dtype.name == "bool" else 1 << (dtype.bits or 7), (3, 5), np.uint8)
        is_low = dtype.storage is Storage.LOW_BITS
        values[f"d/{dtype.name}"] = (
            dtype,
            numbers.view(dtype.numpy) if is_low else numbers.astype(dtype.numpy),
        )
    values["d/string"] = DTYPES[7], np.array([[b"a", b""], [b"\0\xff", bytes(300)]], object)
    values["empty"] = DTYPES[1], np.zeros((0, 3), np.float32)
    values["scalar"] = DTYPES[9], np.array(-7)
    return values


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_tensorflow_restores_every_dtype(tmp_path: Path, options: dict[str, Any]) -> None:
    tensors = every_dtype()
    slices = np.arange(12, dtype=np.float32).reshape(3, 4)
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt", **options) as writer:
        for name, (dtype, array) in tensors.items():
            writer.add(name, array, dtype=dtype)
        writer.add_all({f"many/{i}": np.full((i % 3, 2), i) for i in range(300)})
        for row in range(3):
            writer.add_slice("sliced", (3, 4), [slice(row, row + 1), slice(None)], slices[row : row + 1])
    prefix = str(tmp_path / "ckpt")
    for name, (dtype, array) in tensors.items():
        [restored] = tf.raw_ops.RestoreV2(
            prefix=prefix, tensor_names=[name], shape_and_slices=[""], dtypes=[tf.dtypes.as_dtype(dtype.name)]
        )
        assert restored.dtype.name == dtype.name
        assert restored.shape == array.shape
        assert restored.numpy().tolist() == array.tolist() or restored.numpy().tobytes() == array.tobytes()
    reader = tf.train.load_checkpoint(prefix)
    for i in range(300):
        np.testing.assert_array_equal(reader.get_tensor(f"many/{i}"), np.full((i % 3, 2), i))
    np.testing.assert_array_equal(reader.get_tensor("sliced"), slices)
    with ckptfmt.open(prefix) as ckpt:
        assert ckpt.verify().ok
        if options.get("alignment"):
            assert all(
                entry.offset % options["alignment"] == 0
                for entry in ckpt.entries.values()
                if not entry.slices
            )
        if options.get("max_shard_bytes"):
            assert ckpt.num_shards > 3


def test_a_tensor_list_is_a_variant_that_tensorflow_restores(tmp_path: Path) -> None:
    stacked = tf.constant([[1.5, 2], [3, 4]])
    tensor_list = tf.raw_ops.TensorListFromTensor(tensor=stacked, element_shape=[2])
    save(tmp_path / "theirs", ["list"], [tensor_list])
    with ckptfmt.open(tmp_path / "theirs") as ckpt, ckptfmt.CheckpointWriter(tmp_path / "ours") as writer:
        writer.add("list", ckpt["list"])
    [restored] = tf.raw_ops.RestoreV2(
        prefix=str(tmp_path / "ours"), tensor_names=["list"], shape_and_slices=[""], dtypes=[tf.variant]
    )
    again = tf.raw_ops.TensorListStack(
        input_handle=restored, element_shape=[2], element_dtype=tf.float32, num_elements=2
    )
    np.testing.assert_array_equal(again, stacked)


def test_what_tensorflow_holds_is_stored_under_its_dtype(tmp_path: Path) -> None:
    quantised = tf.bitcast(tf.constant([-1, 2], tf.int8), tf.qint8)
    given = {
        "variable": tf.Variable([1.5, 2.5], dtype=tf.float64),
        "tensor": tf.constant([1, 2], tf.bfloat16),
        "quantised": quantised,
        "strings": tf.constant(["a", "b"]),
        "numbers": [1, 2],
        "floats": [1.5],
        "numpy floats": [np.float64(1.1)],
    }
    ckptfmt.save(tmp_path / "ours", given)
    # TensorFlow's own rules for values of Python.
    save(tmp_path / "theirs", list(given), [tf.convert_to_tensor(value) for value in given.values()])
    assert_same_files(tmp_path / "ours", tmp_path / "theirs")
