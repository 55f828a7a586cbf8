"""Messages without their large values: nothing is lost, however small a large value is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.proto.messages import AttrValue, FunctionDef, GraphDef, SavedModel
from ckptfmt.riegeli import large_values
from ckptfmt.riegeli.divide import FieldStep as Step
from ckptfmt.riegeli.large_values import LargeValue, serialize_without_large_values
from tests.support.graph_messages import UNKNOWN_FIELDS, graphs, saved_models


def outlined(message: Message, large: int) -> tuple[Message, list[LargeValue]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_values, "LARGE", large)
        data, values = serialize_without_large_values(message)
    return type(message).FromString(data), values


def steps(value: LargeValue) -> Iterator[int | str]:
    for step in value.path:
        yield step.field
        if step.selector is not None:
            yield step.selector


def find(message: Message, value: LargeValue) -> Message:
    """Return the message at a path that has the field at its end."""
    for step in value.path[:-1]:
        field = message.DESCRIPTOR.fields_by_number[step.field]
        inner = getattr(message, field.name)
        message = inner if step.selector is None else inner[step.selector]
    return message


@given(message=saved_models() | graphs(), unknown=UNKNOWN_FIELDS, large=st.integers(1, 300))
def test_a_message_and_its_large_values_are_the_message(message: Message, unknown: bytes, large: int) -> None:
    message.MergeFromString(unknown)
    before = message.SerializeToString(deterministic=True)
    small, values = outlined(message, large)
    for value in values:
        assert len(value.read()) >= large
        target = find(small, value)
        assert getattr(target, value.name) == b""
        setattr(target, value.name, value.read())
    assert small == message
    assert message.SerializeToString(deterministic=True) == before


def test_the_content_of_a_constant_is_left_out() -> None:
    model = SavedModel()
    function = model.meta_graphs.add().graph_def.library.function.add()
    function.node_def.add(name="before")
    tensor = function.node_def.add(name="constant", op="Const").attr["value"].tensor
    tensor.tensor_content = bytes(large_values.LARGE)
    small, (value,) = outlined(model, large_values.LARGE)
    assert list(steps(value)) == [2, 0, 2, 2, 1, 0, 3, 1, 5, "value", 8, 4]
    assert value.read() == tensor.tensor_content
    assert small.ByteSize() < 100


def test_values_that_have_no_path_stay() -> None:
    # In lists, after a key; in maps with other keys; texts.
    attribute = AttrValue()
    attribute.list.s.append(b"a" * 500)
    function = FunctionDef()
    function.attr["list"].CopyFrom(attribute)
    function.attr["list"].list.func.add().attr["inner"].s = b"b" * 500
    function.arg_attr[7].attr["c"].s = b"c" * 500
    function.signature.name = "d" * 500
    small, values = outlined(function, 100)
    assert values == []
    assert small == function


def test_a_value_with_presence_may_be_left_out() -> None:
    graph = GraphDef()
    graph.node.add().attr["text"].s = b"e" * 500
    small, (value,) = outlined(graph, 100)
    assert value.path == (Step(1, 0), Step(5, "text"), Step(2))
    assert "text" in small.node[0].attr  # type: ignore[attr-defined]


def test_an_unknown_group_is_refused() -> None:
    graph = GraphDef.FromString(b"\xfb\xff\xff\xff\x0f\xfc\xff\xff\xff\x0f")
    graph.node.add(name="a" * 500)
    with pytest.raises(ValueError, match="GraphDef: field 536870911 is a group"):
        outlined(graph, 100)
