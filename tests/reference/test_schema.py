"""The compiled schema is TensorFlow's: every message, field and enum of every file agrees."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

import ckptfmt.proto

pytestmark = pytest.mark.tensorflow

COMPILED = Path(ckptfmt.proto.__file__).with_name("descriptors.binpb").read_bytes()

FILES = {
    file.name.removesuffix(".proto"): file
    for file in FileDescriptorSet.FromString(COMPILED).file
    if not file.name.startswith("google/")
}

NOT_SHIPPED = {"proto_splitter/chunk"}
"""Files without a descriptor in TensorFlow's wheel; they follow its sources."""

PARTS = {"tensorflow/run_metadata": "config"}
"""Files that hold only some messages of one of TensorFlow's files -> its name."""

FOLDERS = {
    "keras_metadata/saved_metadata": "python/keras/protobuf",
    "keras_metadata/versions": "python/keras/protobuf",
    "tensorflow/checkpoint_state": "python/training",
    "tensorflow/event": "core/util",
    "tensorflow/fingerprint": "core/protobuf",
    "tensorflow/histogram": "compiler/xla/tsl/protobuf",
    "tensorflow/meta_graph": "core/protobuf",
    "tensorflow/run_metadata": "core/protobuf",
    "tensorflow/saved_model": "core/protobuf",
    "tensorflow/saved_object_graph": "core/protobuf",
    "tensorflow/saved_tensor_slice": "core/util",
    "tensorflow/saver": "core/protobuf",
    "tensorflow/struct": "core/protobuf",
    "tensorflow/tensor_bundle": "core/protobuf",
    "tensorflow/trackable_object_graph": "core/protobuf",
}
"""File -> its folder in TensorFlow, unless that is core/framework."""

PACKABLE = {
    number
    for name, number in FieldDescriptorProto.Type.items()
    if name not in {"TYPE_STRING", "TYPE_BYTES", "TYPE_MESSAGE", "TYPE_GROUP"}
}


def facts(file: FileDescriptorProto) -> dict[str, object]:
    """Return what determines bytes and names, by full name; not order, comments or options of languages."""
    found: dict[str, object] = {"": (file.package, file.syntax or "proto2")}
    for enum in file.enum_type:
        found.update(enum_facts(enum, file.package))
    for message in file.message_type:
        found.update(message_facts(message, file.package, file.syntax == "proto3"))
    assert not file.extension
    return found


def message_facts(message: DescriptorProto, scope: str, proto3: bool) -> Iterator[tuple[str, object]]:
    name = f"{scope}.{message.name}"
    reserved = sorted((span.start, span.end) for span in message.reserved_range)
    yield name, ("message", message.options.map_entry, reserved, sorted(message.reserved_name))
    assert not message.extension
    assert not message.extension_range
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
        packable = field.label == field.LABEL_REPEATED and field.type in PACKABLE
        yield (
            f"{name}.{field.name}",
            {
                "number": field.number,
                "type": (field.Type.Name(field.type), field.type_name),
                "label": field.Label.Name(field.label),
                "oneof": oneof,
                "optional": field.proto3_optional,
                "default": field.default_value,
                "packed": packable and (field.options.packed if field.options.HasField("packed") else proto3),
            },
        )
    for enum in message.enum_type:
        yield from enum_facts(enum, name)
    for nested in message.nested_type:
        yield from message_facts(nested, name, proto3)


def enum_facts(enum: EnumDescriptorProto, scope: str) -> Iterator[tuple[str, object]]:
    yield f"{scope}.{enum.name}", {value.name: value.number for value in enum.value}


@pytest.mark.parametrize("name", sorted(FILES.keys() - NOT_SHIPPED))
def test_a_file_agrees_with_that_of_tensorflow(name: str, tensorflow: ModuleType) -> None:
    folder = FOLDERS.get(name, "core/framework").replace("/", ".")
    file = PARTS.get(name, name.partition("/")[2])
    module = importlib.import_module(f"{tensorflow.__name__}.{folder}.{file}_pb2")
    theirs = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    if name in PARTS:
        ours = {message.name for message in FILES[name].message_type}
        del theirs.enum_type[:]
        others = [message for message in theirs.message_type if message.name not in ours]
        for message in others:
            theirs.message_type.remove(message)
    assert facts(FILES[name]) == facts(theirs)
