"""Small decoders: TensorProto, safetensors headers, keys, numbers, fields, and what a file is."""

from __future__ import annotations

import json
import struct
import sys
from importlib.util import find_spec
from random import Random

import numpy as np
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

import ckptfmt
from ckptfmt.checkpoint.slices import decode_slice_key, encode_slice_key
from ckptfmt.converting.sources.safetensors.header import read_safetensors_header
from ckptfmt.errors import CkptfmtError, UnsupportedError
from ckptfmt.filetype.content import recognise_file
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.wire.coding import decode_varint, decode_varints
from ckptfmt.wire.fields import decode_fields, find_fields
from tests.fuzz.mutate.message import of_message
from tests.fuzz.mutate.plain import of_bytes, one_of, words
from tests.fuzz.target import Target, outcome
from tests.fuzz.targets import checkpoints, graphs, records, texts
from tests.support.examples import delimited, entry, example, floats, integers, strings
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.table_writer import encode_varint
from tests.support.v1_files import GOOD_V1_KEY, V1_KEY

# --- tf.train.Example


def judge_example(data: bytes) -> None:
    """Decode an Example and a SequenceExample, and compare with TensorFlow's message if it is imported."""
    features = outcome(lambda: ckptfmt.parse_example(data))
    outcome(lambda: ckptfmt.parse_sequence_example(data))
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or isinstance(features, CkptfmtError):
        return
    try:
        wanted = tensorflow.train.Example.FromString(data).features.feature
    except DecodeError:
        return
    assert features.keys() == wanted.keys()
    for name, feature in wanted.items():
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        np.testing.assert_array_equal(features[name].tolist(), values)


def example_seeds() -> list[bytes]:
    plain = example(label=integers(-1, 5), box=floats(0.5, -2), words=strings(b"a\0", b""), none=b"")
    lists = delimited(1, entry("steps", delimited(1, integers(1, 2)) + delimited(1, integers())))
    return [
        plain,
        example(many=integers(*range(300)), image=strings(bytes(500))),
        plain + delimited(2, lists),
    ]


# --- TensorProto


def judge_tensor(data: bytes) -> None:
    """Decode a TensorProto, and compare with TensorFlow if the program has imported it."""
    array = outcome(lambda: ckptfmt.to_array(data))
    if isinstance(array, CkptfmtError):
        return
    assert not array.flags.writeable
    if array.nbytes <= 1 << 20 and not array.dtype.hasobject:
        again = ckptfmt.to_array(ckptfmt.to_proto(array))
        assert (again.shape, again.dtype) == (array.shape, array.dtype)
        # A single number is written as TensorFlow writes it, by way of Python, which quiets a signalling NaN.
        is_same = again.tobytes() == array.tobytes()
        assert is_same or (array.size == 1 and np.isnan(again).all() and np.isnan(array).all())
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and array.size <= 1 << 16:
        try:
            wanted = tensorflow.make_ndarray(tensorflow.compat.v1.TensorProto.FromString(data))
        except Exception:
            return
        assert wanted.shape == array.shape
        assert wanted.dtype == array.dtype
        if array.dtype.hasobject:
            assert wanted.tolist() == array.tolist()
        else:
            assert wanted.tobytes() == array.tobytes()


def tensor_seeds() -> list[bytes]:
    values = (
        *(
            np.arange(6, dtype=kind).reshape(2, 3)
            for kind in ("f2", "f4", "f8", "i1", "u2", "i4", "i8", "u8", "c8")
        ),
        *(1.5, True, [b"a", b"\xff"], np.zeros((0, 2), np.float32)),
    )
    made = [ckptfmt.to_proto(value).SerializeToString() for value in values]
    one_by_one = (
        *(
            b"\x08\x01\x12\x04\x12\x02\x08\x03\x2d\0\0\x80\x3f",
            b"\x08\x03\x12\x04\x12\x02\x08\x03\x3a\x02\x01\x02",
        ),
        *(b"\x08\x13\x12\x00\x6a\x02\x80\x78", b"\x08\x07\x12\x04\x12\x02\x08\x02\x42\x01a\x42\x00"),
        b"\x08\x15\x12\x00\x7a\x03\x0a\x01T",
    )
    return [*made, *one_by_one]


# --- safetensors


def judge_safetensors(data: bytes) -> None:
    """Read the header of a safetensors file, and compare with the package if it is installed."""
    fs = MemoryFilesystem({"m.safetensors": data})
    specs = outcome(lambda: read_safetensors_header(fs.open("m.safetensors")).tensors)
    if find_spec("safetensors") is None:
        return
    from safetensors import SafetensorError, deserialize

    try:
        wanted, refusal = dict(deserialize(data)), ""
    except (SafetensorError, ValueError) as error:
        wanted, refusal = {}, str(error)
    if refusal:
        # Only these: it refuses -0, numbers that a float cannot hold, 128 levels of nesting, and a file with
        # a dtype that it does not know, which is listed here.
        own = any(text in refusal for text in ("-0.0", "out of range", "recursion limit", "unknown variant"))
        assert own or isinstance(specs, CkptfmtError), f"safetensors refuses this file: {refusal}"
        return
    if isinstance(specs, CkptfmtError):
        stricter = isinstance(specs, UnsupportedError) or "several members" in str(specs)
        assert stricter, f"safetensors reads this file: {specs}"
        return
    assert {name: list(spec.shape) for name, spec in specs.items()} == {
        name: list(each["shape"]) for name, each in wanted.items()
    }


def safetensors_seeds() -> list[bytes]:
    def content(header: object, size: int) -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + bytes(size)

    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    other = {"dtype": "U8", "shape": [2, 0], "data_offsets": [8, 8]}
    return [content({"a": tensor}, 8), content({"a": tensor, "b": other, "__metadata__": {"k": "v"}}, 8)]


def with_length(data: bytes, rng: Random) -> bytes:
    """Change the header, and give it the right length."""
    size = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + size], data[8 + size :]
    header = JSON(header, rng)
    return struct.pack("<Q", len(header)) + header + rest


JSON = words(
    *rb"""
    { } [ ] , : " "dtype" "shape" "data_offsets" "__metadata__" "a" "F32" "BF16" "U8" "F4" \ud800
    0 2 8 -1 1.0 1e1 true null NaN 9223372036854775808
    """.split()
)


# --- keys, numbers, fields


def judge_wire(data: bytes) -> None:
    """Compare fields with protobuf's, numbers read together with single ones, and keys with their code."""
    fields = outcome(lambda: list(decode_fields(data)))
    places = outcome(lambda: list(find_fields(data)))
    assert isinstance(fields, CkptfmtError) == isinstance(places, CkptfmtError)
    try:
        Empty.FromString(data)
    except DecodeError:
        assert isinstance(fields, CkptfmtError), "protobuf refuses this message"
    else:
        # Refused on purpose: groups, numbers of more than 64 bits, whose top protobuf drops, and fields of
        # number 0, which protobuf refuses in C++.
        stricter = any(text in str(fields) for text in ("wire type", "field number 0", "exceeds 64 bits"))
        assert stricter or not isinstance(fields, CkptfmtError), f"protobuf takes this message: {fields}"
    cut = outcome(lambda: list(find_fields(data, may_be_cut=True)))
    assert isinstance(cut, CkptfmtError) or all(place.stop <= len(data) for place in cut)
    for count in (1, 3, len(data)):
        together = outcome(lambda count=count: decode_varints(data, count))
        one_by_one = outcome(lambda count=count: _varints(data, count))
        if isinstance(one_by_one, CkptfmtError):
            assert isinstance(together, CkptfmtError)
        else:
            assert not isinstance(together, CkptfmtError)
            assert (together[0].tolist(), together[1]) == one_by_one
    key = outcome(lambda: decode_slice_key(data))
    if not isinstance(key, CkptfmtError):
        again = decode_slice_key(encode_slice_key(*key))
        assert again == key


def _varints(data: bytes, count: int) -> tuple[list[int], int]:
    values, pos = [], 0
    for _ in range(count):
        value, pos = decode_varint(data, pos)
        values.append(value)
    return values, pos


def wire_seeds() -> list[bytes]:
    numbers = (0, 1, 127, 128, 1 << 31, (1 << 64) - 1)
    return [
        b"".join(map(encode_varint, numbers)),
        *(V1_KEY, GOOD_V1_KEY, *tensor_seeds()[:4]),
        *(message.SerializeToString() for message in graphs.messages_of_tests()[:1]),
    ]


# --- what a file is


def judge_filetype(data: bytes) -> None:
    """Ask what a file is, which is never an error, and open it by every opener."""
    fs = MemoryFilesystem({"d/f": data})
    recognise_file(fs, "d/f")
    recognise_path(fs, "d/f")
    recognise_path(fs, "d")
    for opener in (
        ckptfmt.open,
        ckptfmt.read_graph,
        ckptfmt.read_meta_graph,
        ckptfmt.open_saved_model,
        ckptfmt.Plan.read,
    ):
        outcome(lambda opener=opener: opener("d/f", fs=fs))


def every_seed() -> list[bytes]:
    return [
        *(seed for seed in checkpoints.seeds_v1() if len(seed) < 5000),
        *(seed[4:] for seed in checkpoints.seeds_v2()[:3]),
        *(*graphs.serialized()[:3], graphs.as_text()[0], graphs.split()[0]),
        *(records.record_seeds()[0], records.event_seeds()[1], texts.PLAN.encode(), safetensors_seeds()[0]),
        *(
            b"\x89HDF\r\n\x1a\n",
            b"\x93NUMPY",
            b"PK\x03\x04" + bytes(40),
            b"version https://git-lfs",
            b"\x80\x02",
        ),
        b"x" * 257 + b"ustar",
    ]


TARGETS = {
    "example": Target(judge_example, example_seeds, of_message, count=1000, references=("tensorflow",)),
    "tensor": Target(judge_tensor, tensor_seeds, of_message, count=2000, references=("tensorflow",)),
    "safetensors": Target(
        judge_safetensors, safetensors_seeds, one_of(with_length, with_length, of_bytes), count=2000
    ),
    "wire": Target(judge_wire, wire_seeds, one_of(of_message, of_bytes), count=2000),
    "filetype": Target(judge_filetype, every_seed, one_of(of_bytes, of_message)),
}
