"""The compiled schema, in a descriptor pool of its own.

protobuf has one default pool for the whole process, in which two packages cannot declare the same file: this
package could not be used beside TensorFlow or TensorBoard. Messages of a private pool have the same full
names and the same bytes, but do not mix with theirs. ``python protos/compile.py`` writes
``descriptors.binpb`` and the stubs beside this module.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ckptfmt.locks import new_reentrant_lock

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FileDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

# Without it, two threads that load at once would get two pools, whose messages do not mix.
_lock = new_reentrant_lock()


def descriptor_pool() -> DescriptorPool:
    """Return the pool of all messages of :mod:`ckptfmt.proto`."""
    return _load()[0]


def lazy_package(module: str, package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a module that offers the messages and enums of a package.

    Neither protobuf nor the schema is loaded before the first of them is asked for.
    """

    @functools.cache
    def find(name: str) -> Any:  # noqa: ANN401 - a class or an EnumTypeWrapper; the stubs know which
        if not name.startswith("_"):  # Python asks modules for many such names
            for file in _files(package):
                if name in file.message_types_by_name or name in file.enum_types_by_name:
                    return _member(file, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted(
            name
            for file in _files(package)
            for name in (*file.message_types_by_name, *file.enum_types_by_name)
        )

    return find, names


def _files(package: str) -> list[FileDescriptor]:
    return [file for file in _load()[1] if file.package == package]


def _member(file: FileDescriptor, name: str) -> Any:  # noqa: ANN401
    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

    with _lock:
        message = file.message_types_by_name.get(name)
        return EnumTypeWrapper(file.enum_types_by_name[name]) if message is None else _message_class(message)


def _message_class(message: Descriptor) -> type[Message]:
    from google.protobuf.message_factory import GetMessageClass

    cls = GetMessageClass(message)
    for nested in message.nested_types:
        # The compiled implementation has done this already; the one in pure Python does not.
        if not hasattr(cls, nested.name):
            setattr(cls, nested.name, _message_class(nested))
    return cls


@functools.cache
def _load_once() -> tuple[DescriptorPool, list[FileDescriptor]]:
    # Imported late: it takes tens of milliseconds, and a program that only reads tensors does not need it.
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool

    pool = DescriptorPool()
    data = pkgutil.get_data("ckptfmt.proto", "descriptors.binpb")
    assert data is not None
    compiled = FileDescriptorSet.FromString(data)
    return pool, [pool.AddSerializedFile(file.SerializeToString()) for file in compiled.file]


def _load() -> tuple[DescriptorPool, list[FileDescriptor]]:
    with _lock:
        return _load_once()
