"""Examples: named features, and in a SequenceExample also named lists of them.

::

    Example:          1 Features
    SequenceExample:  1 Features: the context;  2 FeatureLists
    Features:         1 map<string, Feature>
    FeatureLists:     1 map<string, FeatureList>
    FeatureList:      1 Feature, repeated
    entry of a map:   1 key, 2 value

They are decoded from their bytes, without a schema: protobuf's own messages make a Python object of every
number. The result is the same. If a message occurs twice, its pieces are merged; the last of several entries
with one key counts; unknown fields are skipped.

Source: TensorFlow ``core/example/example.proto``, ``feature.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from ckptfmt.errors import CorruptError
from ckptfmt.example.feature import Span, decode_feature, decode_pieces, length_at
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.page import to_html
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.fields import LENGTH_DELIMITED, find_fields

Features: TypeAlias = dict[str, np.ndarray]
"""Values by the names of features."""

_KEY_TAG, _VALUE_TAG = 1 << 3 | LENGTH_DELIMITED, 2 << 3 | LENGTH_DELIMITED
"""Tags of key and value in an entry. An entry itself has the same tag as a key."""


class SequenceExample(NamedTuple):
    """The content of a ``tf.train.SequenceExample``."""

    context: Features
    """The features that describe the whole sequence."""
    feature_lists: dict[str, list[np.ndarray]]
    """For each name, the values of one feature a step."""

    def _card(self) -> Card:
        context = Table(
            "Context",
            ("feature", "dtype", "values"),
            lambda: self.context,
            lambda name: (name, str(self.context[name].dtype), len(self.context[name])),
            is_open=True,
        )
        lists = Table(
            "Feature lists",
            ("feature", "steps"),
            lambda: self.feature_lists,
            lambda name: (name, len(self.feature_lists[name])),
            is_open=True,
        )
        return Card("SequenceExample", parts=[context, lists])

    def _repr_html_(self) -> str:
        return to_html(self._card)


def parse_example(data: bytes | bytearray | memoryview) -> Features:
    """Return the features of a serialized ``tf.train.Example`` by name.

    Values are read-only arrays of one dimension, even a single one: int64, float32, or ``object`` arrays of
    bytes. A feature without a list is an empty array of bools, which NumPy promotes to any of the others.
    Floats that are most of the example are a view of ``data``.

    Raises CorruptError, with an offset in ``data``, if the bytes are not an Example.
    """
    data = _buffer(data)
    features: Features = {}
    for number, content, stop in _top_fields(data, "Example"):
        if number == 1:
            _add_features(features, data, content, stop)
    return features


def parse_sequence_example(data: bytes | bytearray | memoryview) -> SequenceExample:
    """Return context and feature lists of a serialized ``tf.train.SequenceExample``.

    The result can be unpacked: ``context, feature_lists = …``. Arrays are as in :func:`parse_example`; those
    of a list may differ in length, and ``numpy.stack`` joins them if they do not.

    Raises CorruptError, with an offset in ``data``, if the bytes are not a SequenceExample.
    """
    data = _buffer(data)
    example = SequenceExample({}, {})
    for number, content, stop in _top_fields(data, "SequenceExample"):
        if number == 1:
            _add_features(example.context, data, content, stop)
        elif number == 2:
            for start, end in _messages(data, content, stop):
                key, pieces = _decode_entry(data, start, end)
                example.feature_lists[key] = [
                    decode_feature(data, begin, last)
                    for piece in pieces
                    for begin, last in _messages(data, *piece)
                ]
    return example


def _buffer(data: bytes | bytearray | memoryview) -> Buffer:
    """Return bytes that arrays may be views of: nobody can change them through these."""
    return data if isinstance(data, bytes) else memoryview(data).cast("B").toreadonly()


def _top_fields(data: Buffer, kind: str) -> Iterator[tuple[int, int, int]]:
    """Iterate over number, begin and end of the messages in an example.

    Protobuf skips a field of another wire type as unknown. An event, which begins with one, would then be an
    example without features; here it is an error.
    """
    for number, wire_type, begin, content, stop in find_fields(data):
        if number <= 2 and wire_type != LENGTH_DELIMITED:
            what = (
                f"not a tf.train.{kind}: field {number}: got wire type {wire_type}, want {LENGTH_DELIMITED}"
            )
            raise CorruptError(what, offset=begin)
        yield number, content, stop


def _messages(data: Buffer, start: int, stop: int) -> Iterator[Span]:
    """Iterate over begin and end of the messages in field 1, the only field of several messages."""
    for number, wire_type, _, content, end in find_fields(data, start, stop):
        if number == 1 and wire_type == LENGTH_DELIMITED:
            yield content, end


def _add_features(features: Features, data: Buffer, pos: int, stop: int) -> None:
    """Add the features of a Features message."""
    while pos < stop:
        usual = _usual_entry(data, pos, stop)
        if usual is not None:
            key, begin, pos = usual
            features[key] = decode_feature(data, begin, pos)
            continue
        field = next(find_fields(data, pos, stop))
        if field.number == 1 and field.wire_type == LENGTH_DELIMITED:
            key, pieces = _decode_entry(data, field.content, field.stop)
            features[key] = decode_pieces(data, pieces)
        pos = field.stop


def _usual_entry(data: Buffer, pos: int, stop: int) -> tuple[str, int, int] | None:
    """Return the key of the entry at ``pos``, and where its value begins and ends.

    None if the entry is not a short key and then one value, as writers store it, or if it is damaged.
    """
    try:
        if data[pos] != _KEY_TAG:
            return None
        size, at = data[pos + 1], pos + 2
        if size >= 0x80:
            size, at = length_at(data, pos + 1)
        end = at + size
        if end > stop or data[at] != _KEY_TAG:
            return None
        size, begin = data[at + 1], at + 2
        at = begin + size
        if size >= 0x80 or data[at] != _VALUE_TAG:
            return None
        key = str(data[begin:at], "utf-8")
        size, at = data[at + 1], at + 2
        if size >= 0x80:
            size, at = length_at(data, at - 1)
        # The length must lead to the end of the entry. So whatever was read beyond it does no harm: from
        # there no length leads back.
        return (key, at, end) if at + size == end else None
    except (IndexError, CorruptError, UnicodeDecodeError):
        return None


def _decode_entry(data: Buffer, start: int, stop: int) -> tuple[str, list[Span]]:
    """Return the key of a map's entry, and the pieces of its value.

    Protobuf's implementations differ in what they make of an entry with other fields: some keep it, some drop
    it. TensorFlow's ops refuse it, as this does.
    """
    key = ""
    pieces: list[Span] = []
    for number, wire_type, begin, content, end in find_fields(data, start, stop):
        if number > 2 or wire_type != LENGTH_DELIMITED:
            what = f"entry of a map: got field {number} of wire type {wire_type}, want a key and a value"
            raise CorruptError(what, offset=begin)
        if number == 2:
            pieces.append((content, end))
            continue
        try:
            key = str(data[content:end], "utf-8")
        except UnicodeDecodeError as error:
            what = "name of a feature: not UTF-8"
            raise CorruptError(what, offset=content + error.start) from error
    return key, pieces
