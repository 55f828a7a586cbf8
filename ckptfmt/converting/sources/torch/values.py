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


class Opaque:
    """What stands for an object that nothing here makes: a sparse tensor, a NumPy array, arguments."""

    __slots__ = ("is_array", "parts", "why")

    def __init__(self, why: str, *parts: object, is_array: bool = False) -> None:
        self.why = why
        """Why it cannot be read."""
        self.parts = list(parts)
        """What the pickle would make it of, in which tensors may be."""
        self.is_array = is_array
        """Whether it is a tensor or an array, whatever is in it."""


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


def why_unreadable(name: object) -> str:
    """Return why an object is not read, for which the name would have to be imported."""
    return (
        f"it needs {name}, and only tensors in dictionaries and lists are read: "
        "save the state_dict() of a model"
    )


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


_SCALARS = (str, int, float, bool, bytes, type(None))

_LONGEST_KEY = 16
"""The most items of a tuple that is a key: more would make names of any length."""


def key_of(key: object) -> object:
    """Return the key of a dictionary; UnsupportedError if it has no place in a name."""
    if type(key) in _SCALARS or isinstance(key, (Global, DType)):
        return key
    if type(key) is tuple and len(key) <= _LONGEST_KEY and all(type(each) in _SCALARS for each in key):
        return key
    if isinstance(key, (list, dict)):
        raise TypeError(f"key: got {type(key).__name__}, want text or a number")
    raise UnsupportedError(f"key: got {type(key).__name__}, want text or a number")


def known_name(name: Global) -> object:
    """Return what stands for a name: a dtype, or the name itself."""
    return BY_NAME[name.name] if name.module == "torch" and name.name in BY_NAME else name


def call(function: object, arguments: tuple[object, ...]) -> object:
    """Return what a function would make; nothing is imported or called but what :data:`FUNCTIONS` has."""
    if type(function) is Opaque:
        return Opaque(function.why, arguments)
    name: Global = exactly(Global, function)
    make = FUNCTIONS.get(name)
    if make is None:
        # torch._utils._rebuild_sparse_tensor and the like, numpy._core.multiarray._reconstruct
        is_array = name.name.startswith(("_rebuild_", "_reconstruct")) and name.module != "copyreg"
        return Opaque(why_unreadable(name), arguments, is_array=is_array)
    try:
        return make(*arguments)
    except UnsupportedError as error:
        return Opaque(error.what, is_array=True)


def storage_of(reference: object) -> Storage | Opaque:
    """Return the storage that a pickle refers to by a tuple; opaque if its dtype is not known."""
    what, kind, key, _, size, *_ = exactly(tuple, reference)
    if what != "storage":
        raise UnsupportedError(f"a reference to {what!r:.100}, want a storage")
    class_name: Global = exactly(Global, kind)
    name = class_name.name
    is_untyped = class_name == ("torch.storage", _UNTYPED)
    dtype = BY_NAME[STORAGES[name]] if class_name.module == "torch" and name in STORAGES else None
    if dtype is None and not is_untyped:
        return Opaque(f"a storage of {class_name}, which is not read", is_array=True)
    return Storage(exactly(str, key), dtype, _count_of(size))


def _ordered(items: object = ()) -> dict[object, Any]:
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
    store = _readable(Storage, storage)
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
    if type(dtype) is Global:
        raise UnsupportedError(f"TensorFlow has no dtype {dtype}")
    return _view(_readable(Storage, storage), exactly(DType, dtype), offset, shape, strides, metadata)


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
    tensor: TorchTensor = _readable(TorchTensor, data)
    return tensor


def _readable(kind: type[Any], value: object) -> Any:  # noqa: ANN401
    """Return a value of a class; UnsupportedError with the reason if it is opaque."""
    if type(value) is Opaque:
        raise UnsupportedError(value.why)
    return exactly(kind, value)


FUNCTIONS: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): _ordered,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_bytes,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch", "Size"): lambda sizes=(): tuple(sizes),
}
"""What is done in place of each function that a pickle may name."""
