"""What a pickle of PyTorch describes: storages, and tensors that view them.

Each function here stands for one of PyTorch's or Python's, and only notes what that one would make.

Source: ``torch/_utils.py``, ``torch/_tensor.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ckptfmt.arrays.shape import MAX_RANK, Shape
from ckptfmt.dtypes import BY_NAME, DType
from ckptfmt.errors import UnsupportedError

STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
"""TensorFlow's name for the dtype of each class of storages; later dtypes have none."""

LATER_DTYPES = (
    *("uint16", "uint32", "uint64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
)
"""Dtypes, named as TensorFlow's, of tensors that are written with their dtype and a storage of bytes."""

_UNTYPED = "UntypedStorage"


class Storage(NamedTuple):
    """Bytes that tensors share: a member of the archive."""

    key: str
    dtype: DType | None
    """The dtype of its elements; None for bytes."""
    size: int
    """Its elements."""


class TorchTensor(NamedTuple):
    """Where a tensor is: a view of a storage."""

    storage: Storage
    dtype: DType
    offset: int
    """The first element, in elements."""
    shape: Shape
    strides: Shape
    """The elements from one index to the next, in each dimension."""


class Global(NamedTuple):
    """A name that a pickle would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:200]


def exactly(kind: type[Any], value: object) -> Any:  # noqa: ANN401
    """Return a value that is of this class, and of none derived from it; else TypeError."""
    if type(value) is not kind:
        raise TypeError(f"got {type(value).__name__}, want {kind.__name__.lower()}")
    return value


def _count_of(value: object) -> int:
    number: int = exactly(int, value)
    if not 0 <= number < 1 << 63:
        raise ValueError(f"got {str(number)[:100]}, want a number from 0 to 2**63 - 1")
    return number


def _counts(values: object) -> Shape:
    numbers = exactly(tuple, values)
    if len(numbers) > MAX_RANK:
        raise UnsupportedError(f"TensorFlow has no shape of {len(numbers)} dimensions")
    return tuple(map(_count_of, numbers))


def key_of(key: object) -> str | int:
    """Return the key of a dictionary; TypeError if it has a place in no name."""
    if type(key) not in (str, int):
        raise TypeError(f"key: got {type(key).__name__}, want text or a number")
    return key  # type: ignore[return-value]


def known_name(name: Global) -> object:
    """Return what stands for a name; UnsupportedError unless it is one of tensors or dictionaries."""
    if name.module == "torch" and name.name in BY_NAME:
        return BY_NAME[name.name]
    is_storage = (name.module == "torch" and name.name in STORAGES) or name == ("torch.storage", _UNTYPED)
    if not is_storage and name not in FUNCTIONS:
        raise UnsupportedError(
            f"it needs {name}, and only tensors in dictionaries and lists are read: "
            "save the state_dict() of a model"
        )
    return name


def storage_of(reference: object) -> Storage:
    """Return the storage that a pickle refers to by a tuple."""
    what, kind, key, _, size, *_ = exactly(tuple, reference)
    if what != "storage":
        raise UnsupportedError(f"a reference to {what!r:.100}, want a storage")
    name = exactly(Global, kind).name
    dtype = BY_NAME[STORAGES[name]] if name in STORAGES else None
    if dtype is None and name != _UNTYPED:
        raise UnsupportedError(f"a storage of {kind}")
    return Storage(exactly(str, key), dtype, _count_of(size))


def _ordered(items: object = ()) -> dict[str | int, Any]:
    return {key_of(key): value for key, value in items}  # type: ignore[attr-defined]


def _tensor(
    storage: object,
    offset: object,
    shape: object,
    strides: object,
    _requires_grad: object,
    _hooks: object,
    metadata: object = None,
) -> TorchTensor:
    store: Storage = exactly(Storage, storage)
    if store.dtype is None:
        raise TypeError("got bytes, want a storage of numbers")
    return _view(store, store.dtype, offset, shape, strides, metadata)


def _tensor_of_bytes(
    storage: object,
    offset: object,
    shape: object,
    strides: object,
    _requires_grad: object,
    _hooks: object,
    dtype: object,
    metadata: object = None,
) -> TorchTensor:
    return _view(exactly(Storage, storage), exactly(DType, dtype), offset, shape, strides, metadata)


def _view(
    storage: Storage, dtype: DType, offset: object, shape: object, strides: object, metadata: object
) -> TorchTensor:
    if metadata:  # the tensor is to be conjugated or negated
        raise UnsupportedError(f"a tensor with metadata {metadata!r:.100}")
    sizes, steps = _counts(shape), _counts(strides)
    if len(sizes) != len(steps):
        raise ValueError(f"got {len(steps)} strides for {len(sizes)} dimensions")
    return TorchTensor(storage, dtype, _count_of(offset), sizes, steps)


def _parameter(data: object, *_: object) -> TorchTensor:
    tensor: TorchTensor = exactly(TorchTensor, data)
    return tensor


FUNCTIONS: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): _ordered,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_bytes,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch", "Size"): lambda sizes=(): tuple(sizes),
}
"""What is done in place of each function that a pickle may name."""
