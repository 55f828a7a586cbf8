"""Collections: lists that a program kept beside its graph, by name.

A collection holds names of nodes and tensors, numbers, serialized messages (a ``VariableDef`` for each
variable, others as bytes) or ``Any`` messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ckptfmt.errors import CorruptError, GraphError, NameNotFoundError
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.text.closest import closest_names

VARIABLES = frozenset(
    (
        *("variables", "trainable_variables", "local_variables", "model_variables", "metric_variables"),
        *("moving_average_variables", "concatenated_variables", "trainable_resource_variables"),
        "_trainable_concatenated_variables",
    )
)
"""Collections that TensorFlow itself keeps variables in."""


class Partition(NamedTuple):
    """The place of a part in its partitioned variable."""

    full_name: str
    """Name of the whole."""
    full_shape: tuple[int, ...]
    """Shape of the whole."""
    offset: tuple[int, ...]
    """Where the part begins in each dimension."""
    shape: tuple[int, ...]
    """Shape of the part."""


class Variable(NamedTuple):
    """A variable as the program described it: a VariableDef."""

    name: str
    """The tensor, as ``w:0``."""
    initializer: str
    """The op that initialises it."""
    snapshot: str
    """The tensor that has its value, as ``w/read:0``."""
    initial_value: str
    """The tensor that it is initialised from; empty if the file does not say."""
    trainable: bool
    """Whether training changes it. Old files do not say; the collection ``trainable_variables`` does."""
    is_resource: bool
    """Whether it is a resource, not a reference."""
    partition: Partition | None
    """Its place in a partitioned variable; None if it is not a part of one."""
    synchronization: str
    """``auto``, ``none``, ``on_write`` or ``on_read``: how copies of it are kept alike."""
    aggregation: str
    """``none``, ``sum``, ``mean`` or ``only_first_replica``: how changes to copies are combined."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "Variable", self.name))


class Asset(NamedTuple):
    """A file that a model needs."""

    filename: str
    """Its name, below the directory of assets."""
    tensor: str
    """The tensor, ``node:k``, that its path is fed to."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "Asset", self.filename))


class AnyMessage(NamedTuple):
    """A message of an unknown type."""

    type_url: str
    """Names its kind."""
    value: bytes
    """Its bytes."""


Item: TypeAlias = "str | bytes | int | float | Variable | Asset | AnyMessage"

_ASSET_URL = "type.googleapis.com/tensorflow.AssetFileDef"

_SYNCHRONIZATION = ("auto", "none", "on_write", "on_read")
_AGGREGATION = ("none", "sum", "mean", "only_first_replica")


def decode_variable(data: bytes, file: str) -> Variable:
    """Return the variable in a serialized VariableDef; CorruptError if the bytes are not one."""
    known = parse_message(messages.VariableDef, data, file, None)
    part = known.save_slice_info_def
    partition = None
    if known.HasField("save_slice_info_def"):
        partition = Partition(
            part.full_name, tuple(part.full_shape), tuple(part.var_offset), tuple(part.var_shape)
        )
    return Variable(
        known.variable_name,
        known.initializer_name,
        known.snapshot_name,
        known.initial_value_name,
        known.trainable,
        known.is_resource,
        partition,
        _word(_SYNCHRONIZATION, known.synchronization),
        _word(_AGGREGATION, known.aggregation),
    )


def encode_variable(variable: Variable) -> messages.VariableDef:
    """Return a variable as a VariableDef, the inverse of :func:`decode_variable`."""
    known = messages.VariableDef(
        variable_name=variable.name,
        initializer_name=variable.initializer,
        snapshot_name=variable.snapshot,
        initial_value_name=variable.initial_value,
        trainable=variable.trainable,
        is_resource=variable.is_resource,
        synchronization=_code(_SYNCHRONIZATION, variable.synchronization),
        aggregation=_code(_AGGREGATION, variable.aggregation),
    )
    if variable.partition is not None:
        part = variable.partition
        known.save_slice_info_def.full_name = part.full_name
        known.save_slice_info_def.full_shape.extend(part.full_shape)
        known.save_slice_info_def.var_offset.extend(part.offset)
        known.save_slice_info_def.var_shape.extend(part.shape)
    return known


def _code(words: tuple[str, ...], word: str) -> int:
    return words.index(word) if word in words else int(word.removeprefix("unknown_"))


def _word(words: tuple[str, ...], code: int) -> str:
    return words[code] if 0 <= code < len(words) else f"unknown_{code}"


def decode_asset(asset: messages.AssetFileDef) -> Asset:
    """Return what an AssetFileDef says."""
    return Asset(asset.filename, asset.tensor_info.name)


def encode_collection(name: str, items: Iterable[Item], file: str) -> messages.CollectionDef:
    """Return a collection as a CollectionDef.

    Text names nodes and tensors, bytes are messages of any kind, and numbers are numbers; all items must be
    alike, else GraphError is raised.
    """
    items = list(items)
    collection = messages.CollectionDef()
    types = {type(item) for item in items}
    kinds = set(map(_kind, types))
    if len(kinds) > 1 or None in kinds:
        got = ", ".join(sorted(each.__name__ for each in types))
        raise GraphError(f"collection {name!r}: got items of {got}, want one kind", file=file)
    kind = next(iter(kinds), "node_list")
    field = getattr(collection, str(kind))
    field.SetInParent()
    for item in items:
        if isinstance(item, Asset | AnyMessage):
            field.value.add(**_encode_any(item)._asdict())
        else:
            field.value.append(
                encode_variable(item).SerializeToString() if isinstance(item, Variable) else item
            )
    return collection


def _kind(of: type) -> str | None:
    """Return the field of a CollectionDef that holds items of a type, or None."""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (str, "node_list"),
        ((bytes, Variable), "bytes_list"),
        ((int, np.integer), "int64_list"),
        ((float, np.floating), "float_list"),
        ((Asset, AnyMessage), "any_list"),
    )
    return next((kind for types, kind in kinds if issubclass(of, types)), None)


def _encode_any(item: Asset | AnyMessage) -> AnyMessage:
    if isinstance(item, AnyMessage):
        return item
    asset = messages.AssetFileDef(filename=item.filename)
    asset.tensor_info.name = item.tensor
    return AnyMessage(_ASSET_URL, asset.SerializeToString(deterministic=True))


class Collections(Mapping[str, tuple[Item, ...]]):
    """The collections of a meta graph by name, decoded on access."""

    def __init__(self, collections: Mapping[str, messages.CollectionDef], file: str) -> None:
        self._messages = collections
        self._file = file

    def __getitem__(self, name: str) -> tuple[Item, ...]:
        """Return a collection.

        Raises
        ------
        NameNotFoundError
            No collection has that name (a KeyError).
        CorruptError
            An item of a collection of variables is not a variable.
        """
        if name not in self:
            close = closest_names(name, self)
            raise NameNotFoundError(name, file=self._file, noun="collection", close_matches=close)
        collection = self._messages[name]
        kind = collection.WhichOneof("kind")
        if kind is None:
            return ()
        values = getattr(collection, kind).value
        if kind == "bytes_list" and name in VARIABLES:
            return tuple(decode_variable(value, self._file) for value in values)
        if kind == "any_list":
            return tuple(map(self._decode_any, values))
        return tuple(values)

    def _decode_any(self, message: Any) -> Item:  # noqa: ANN401  (protobuf's own Any)
        if message.type_url.rpartition("/")[2] == "tensorflow.AssetFileDef":
            return decode_asset(parse_message(messages.AssetFileDef, message.value, self._file, None))
        return AnyMessage(message.type_url, message.value)

    def variables(self, name: str) -> tuple[Variable, ...]:
        """Return the variables of a collection, none if it does not exist.

        Raises CorruptError if it has anything else in it.
        """
        items = self.get(name, ())
        variables = tuple(item for item in items if isinstance(item, Variable))
        if len(variables) < len(items):
            raise CorruptError(f"collection {name!r} has items that are not variables", file=self._file)
        return variables

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._messages))

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._messages

    def __repr__(self) -> str:
        return f"<Collections {', '.join(self)}>"

    def _table(self) -> Table:
        def cells(name: str) -> tuple[str, str | None, int | None]:
            # Counted in the message, so that no item is decoded.
            kind = self._messages[name].WhichOneof("kind")
            return name, kind, None if kind is None else len(getattr(self._messages[name], kind).value)

        return Table("Collections", ("name", "kind", "items"), lambda: self, cells)

    def _repr_html_(self) -> str:
        table = self._table()._replace(is_open=True)
        return to_html(lambda: Card("Collections", self._file, parts=[table]))

    def _ipython_key_completions_(self) -> list[str]:
        return first_keys(self)
