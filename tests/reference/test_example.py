"""Examples: read as TensorFlow's own messages and its parsing ops read them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.errors import CorruptError
from ckptfmt.wire.coding import encode_varint
from tests.support.make_records import FOLDER as RECORDS

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow

KINDS = {"int64_list": np.int64, "float_list": np.float32, "bytes_list": object}


def values_of(feature: Any) -> np.ndarray:
    """Return the values of a Feature message of TensorFlow."""
    kind = feature.WhichOneof("kind")
    if kind is None:
        return np.empty(0, bool)
    values = getattr(feature, kind).value
    array = np.empty(len(values), KINDS[kind])
    array[:] = list(values)
    return array


def same(ours: np.ndarray, feature: Any) -> bool:
    want = values_of(feature)
    if ours.dtype != want.dtype or ours.shape != want.shape or ours.flags.writeable:
        return False
    # Not bit by bit: Python's floats, which TensorFlow's message returns, have no signalling NaN.
    return np.array_equal(ours, want, equal_nan=want.dtype == np.float32)


def check_example(data: bytes) -> None:
    """Compare with protobuf's message; where it refuses, there is an error of this package."""
    try:
        want = tf.train.Example.FromString(data).features.feature
    except DecodeError:
        with pytest.raises(CorruptError):
            ckptfmt.parse_example(data)
        return
    got = ckptfmt.parse_example(data)
    assert got.keys() == want.keys()
    assert all(same(values, want[name]) for name, values in got.items())


def check_sequence(data: bytes) -> None:
    want = tf.train.SequenceExample.FromString(data)
    context, lists = ckptfmt.parse_sequence_example(data)
    assert context.keys() == want.context.feature.keys()
    assert all(same(values, want.context.feature[name]) for name, values in context.items())
    assert lists.keys() == want.feature_lists.feature_list.keys()
    for name, steps in lists.items():
        features = want.feature_lists.feature_list[name].feature
        assert len(steps) == len(features)
        assert all(map(same, steps, features))


# --- bytes in every form that protobuf allows --------------------------------------------------------------


def delimited(number: int, content: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(content)) + content


def joined(parts: st.SearchStrategy[bytes], most: int = 4) -> st.SearchStrategy[bytes]:
    return st.lists(parts, max_size=most).map(b"".join)


varints = st.one_of(st.integers(0, 300), st.integers(0, (1 << 64) - 1)).map(encode_varint)
words = st.binary(min_size=4, max_size=4)
UNKNOWN = st.sampled_from(
    [
        *(b"\x28\x05", b"\x7a\x03abc", b"\x25abcd", b"\x21abcdefgh"),  # unknown fields
        b"\xfa\x07\x00",  # with a longer tag
    ]
)
WRONG = st.sampled_from([b"\x09abcdefgh", b"\x11abcdefgh"])  # known fields of another wire type
NOISE = st.one_of(UNKNOWN, WRONG)
INTEGERS = joined(
    st.one_of(
        varints.map(lambda each: b"\x08" + each),
        joined(varints, 40).map(lambda content: delimited(1, content)),
        NOISE,
    )
)
FLOATS = joined(
    st.one_of(
        words.map(lambda each: b"\x0d" + each),
        joined(words).map(lambda content: delimited(1, content)),
        UNKNOWN,
    )
)
STRINGS = joined(st.one_of(st.binary(max_size=5).map(lambda content: delimited(1, content)), NOISE), 40)
LISTS = st.one_of(
    STRINGS.map(lambda content: delimited(1, content)),
    FLOATS.map(lambda content: delimited(2, content)),
    INTEGERS.map(lambda content: delimited(3, content)),
)
FEATURE = st.one_of(LISTS, joined(st.one_of(LISTS, NOISE)))
KEY = st.sampled_from(["", "a", "b", "ä", "n" * 200]).map(lambda name: delimited(1, name.encode()))
VALUE = FEATURE.map(lambda content: delimited(2, content))
ENTRY = st.one_of(st.tuples(KEY, VALUE).map(b"".join), joined(st.one_of(KEY, VALUE), 5)).map(
    lambda content: delimited(1, content)
)
FEATURES = joined(st.one_of(ENTRY, ENTRY, ENTRY, NOISE), 5)
EXAMPLE = joined(st.one_of(FEATURES.map(lambda content: delimited(1, content)), UNKNOWN), 3)
FEATURE_LIST = joined(st.one_of(FEATURE.map(lambda content: delimited(1, content)), NOISE)).map(
    lambda content: delimited(2, content)
)
LIST_ENTRY = joined(st.one_of(KEY, FEATURE_LIST)).map(lambda content: delimited(1, content))
SEQUENCE = joined(
    st.one_of(
        FEATURES.map(lambda content: delimited(1, content)),
        joined(LIST_ENTRY).map(lambda content: delimited(2, content)),
    )
)


@given(EXAMPLE)
@settings(max_examples=500, deadline=None)
def test_any_form_is_what_protobuf_reads(data: bytes) -> None:
    check_example(data)


@given(SEQUENCE)
@settings(max_examples=300, deadline=None)
def test_any_form_of_a_sequence_is_what_protobuf_reads(data: bytes) -> None:
    check_sequence(data)


def usual() -> Any:
    """Return a message as programs write it."""
    example = tf.train.Example()
    feature = example.features.feature
    feature["label"].int64_list.value.append(7)
    feature["ids"].int64_list.value.extend([1, 300, -1, 1 << 40, *range(100)])
    feature["mask"].int64_list.value.extend([0, 1] * 30)
    feature["box"].float_list.value.extend([0.5, -1.0, float("nan"), 1e-40])
    feature["large"].float_list.value.extend(range(500))
    feature["words"].bytes_list.value.extend([b"", b"a\0", b"x" * 300, *[b"word"] * 30])
    feature["none"].int64_list.SetInParent()
    feature["no bytes"].bytes_list.SetInParent()
    feature["no floats"].float_list.SetInParent()
    feature["unset"].SetInParent()
    feature["ä" * 100].bytes_list.value.append(b"\xff")
    return example


def test_a_usual_example() -> None:
    check_example(usual().SerializeToString())


@pytest.mark.parametrize("seed", range(20))
def test_damaged_examples_are_read_as_by_protobuf_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    whole = usual().SerializeToString()
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            choice = rng.randrange(3)
            if choice == 0:
                data[at] = rng.randrange(256)
            elif choice == 1:
                del data[at : at + rng.randint(1, 5)]
            else:
                data[at:at] = rng.randbytes(rng.randint(1, 3))
        try:
            got = ckptfmt.parse_example(data)
        except CorruptError:
            continue
        # More is refused here: groups, a first field that is not a message, other fields in an entry.
        want = tf.train.Example.FromString(bytes(data)).features.feature
        assert got.keys() == want.keys()
        assert all(same(values, want[name]) for name, values in got.items())


def test_every_cut_is_refused_or_read_as_by_protobuf() -> None:
    whole = usual().SerializeToString()
    for end in range(0, len(whole), 7):
        check_example(whole[:end])


# --- TensorFlow's ops --------------------------------------------------------------------------------------


def test_the_ops_that_parse_examples_agree() -> None:
    example = usual()
    got = ckptfmt.parse_example(example.SerializeToString())
    spec = {
        "ids": tf.io.VarLenFeature(tf.int64),
        "large": tf.io.VarLenFeature(tf.float32),
        "words": tf.io.VarLenFeature(tf.string),
        "none": tf.io.VarLenFeature(tf.int64),
    }
    want = tf.io.parse_single_example(example.SerializeToString(), spec)
    for name, sparse in want.items():
        assert got[name].tolist() == sparse.values.numpy().tolist()
    assert got["ids"].dtype == want["ids"].dtype.as_numpy_dtype
    assert got["large"].dtype == want["large"].dtype.as_numpy_dtype


def test_the_op_that_parses_sequences_agrees() -> None:
    example = tf.train.SequenceExample()
    example.context.feature["length"].int64_list.value.append(3)
    for step in range(3):
        feature = example.feature_lists.feature_list["frames"].feature.add()
        feature.float_list.value.extend([step, step + 0.5])
    data = example.SerializeToString()
    context, lists = ckptfmt.parse_sequence_example(data)
    want_context, want_lists = tf.io.parse_single_sequence_example(
        data,
        {"length": tf.io.FixedLenFeature([], tf.int64)},
        {"frames": tf.io.FixedLenSequenceFeature([2], tf.float32)},
    )
    assert context["length"].item() == want_context["length"].numpy()
    assert np.array_equal(np.stack(lists["frames"]), want_lists["frames"].numpy())


# --- files -------------------------------------------------------------------------------------------------


def test_files_are_read_as_the_dataset_reads_them() -> None:
    names = [str(RECORDS / f"train-{shard:05d}-of-00002") for shard in range(2)]
    want = [record.numpy() for record in tf.data.TFRecordDataset(names)]
    records = list(ckptfmt.open_records(RECORDS / "train@2"))
    assert [record.data for record in records] == want
    assert [record.example()["label"].item() for record in records] == [0, 2, 4, 1, 3, 5]
    compressed = str(RECORDS / "sequences.tfrecord.gz")
    want = [record.numpy() for record in tf.data.TFRecordDataset(compressed, compression_type="GZIP")]
    assert [record.data for record in ckptfmt.open_records(compressed)] == want
    for record in ckptfmt.open_records(compressed):
        check_sequence(record.data)
