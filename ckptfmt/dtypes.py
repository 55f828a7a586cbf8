"""DataType codes of TensorFlow: their names, NumPy dtypes and stored sizes.

Codes are those of ``enum DataType`` (``protos/types.proto``), names those of ``tf.as_dtype(code).name``.
Codes 101 to 133 (``DT_*_REF``) are base + 100: references in old graphs, which are never stored.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ckptfmt.cached_property import cached_property

REF_OFFSET = 100
"""The code of a reference minus that of its base."""


class Storage(enum.Enum):
    """How a bundle stores the elements of a dtype."""

    FIXED = "fixed"
    """The bytes of a NumPy array in C order."""
    LOW_BITS = "low bits"
    """One byte for each element, its value in the low bits, the upper bits zero."""
    STRING = "string"
    """The lengths of all elements, a checksum, then their bytes."""
    VARIANT = "variant"
    """A serialized VariantTensorDataProto for each element."""
    NONE = "none"
    """Not storable: a handle to something that lived in a process, or an unknown code."""


@dataclass(frozen=True, eq=False)
class DType:
    """One TensorFlow dtype.

    It equals its name, the NumPy dtype and scalar type of :attr:`numpy`, and any dtype of the same code, also
    a ``tf.DType``: ``dtype == "float32"``, ``dtype == np.float32``. It hashes as its name does. NumPy accepts
    it as a dtype: ``np.zeros(shape, dtype)``.
    """

    code: int
    """Number in ``enum DataType``."""
    name: str
    """TensorFlow's name: ``float32``, ``qint8``, ``bfloat16``, ``string``."""
    numpy_name: str
    """Name of the NumPy or ml_dtypes type of :attr:`numpy`."""
    storage: Storage = Storage.FIXED
    bits: int = 0
    """Significant bits of an element if ``storage`` is LOW_BITS, else 0."""
    signed: bool = False
    """Whether the uppermost of these bits is a sign, in two's complement."""

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype of arrays: the integer of quantised types, ``object`` for strings."""
        if self.numpy_name == "object" or hasattr(np, self.numpy_name):
            dtype: np.dtype[Any] = np.dtype(self.numpy_name)
        else:
            # Imported at first need: nearly all checkpoints hold floats and integers that NumPy has.
            import ml_dtypes

            dtype = np.dtype(getattr(ml_dtypes, self.numpy_name))
        return dtype

    @cached_property
    def itemsize(self) -> int | None:
        """Stored bytes of an element; None if elements vary in size or cannot be stored."""
        return self.numpy.itemsize if self.storage in (Storage.FIXED, Storage.LOW_BITS) else None

    def __reduce__(self) -> tuple[object, ...]:
        return find_dtype, (self.code,)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, DType):
            return self.code == other.code
        if isinstance(other, str):
            return self.name == other
        # Handles and unknown codes have the object dtype as a stand-in, which they must not equal.
        if isinstance(other, np.dtype):
            return self.storage is not Storage.NONE and self.numpy == other
        if isinstance(other, type):
            # Not np.dtype(other), which accepts abstract types with a warning, and takes float for float64.
            return self.storage is not Storage.NONE and other in (self.numpy.type, self.as_numpy_dtype)
        code = getattr(other, "as_datatype_enum", None)
        return self.code == code if isinstance(code, int) else NotImplemented

    def __hash__(self) -> int:
        # What equals a name must hash as it does. So a dict finds a dtype by its name, but not by NumPy's
        # dtype.
        return hash(self.name)

    @property
    def dtype(self) -> np.dtype[Any]:
        """:attr:`numpy`, under the name that NumPy looks for; AttributeError if it is not storable."""
        if self.storage is Storage.NONE:
            raise AttributeError(f"dtype {self.name} (code {self.code}) has no NumPy dtype")
        return self.numpy

    __numpy_dtype__ = dtype
    """The same for NumPy 2.4 and later, which deprecates looking for ``dtype``."""

    # --- under their names in tf.DType -----------------------------------------------------------------

    @property
    def as_numpy_dtype(self) -> type:
        """The scalar type of :attr:`numpy`, ``object`` for strings."""
        return object if self.numpy.hasobject else self.numpy.type

    @property
    def as_datatype_enum(self) -> int:
        """:attr:`code`."""
        return self.code

    @property
    def base_dtype(self) -> DType:
        """The dtype that a reference refers to, else the dtype itself."""
        return DTYPES.get(self.code - REF_OFFSET, self)

    @property
    def size(self) -> int:
        """Bytes of an element in memory; 0 if elements vary in size."""
        return self.base_dtype.itemsize or 0

    @property
    def is_floating(self) -> bool:
        """Whether elements are real floating-point numbers."""
        # By the beginning of the name, here and below, so that references such as float32_ref count too.
        return self.name.startswith(("float", "bfloat"))

    @property
    def is_integer(self) -> bool:
        """Whether elements are integers; quantised ones are not."""
        return self.name.startswith(("int", "uint"))

    @property
    def is_complex(self) -> bool:
        """Whether elements are complex numbers."""
        return self.name.startswith("complex")

    @property
    def is_bool(self) -> bool:
        """Whether elements are truth values."""
        return self.name.startswith("bool")

    @property
    def is_quantized(self) -> bool:
        """Whether elements are quantised."""
        return self.name.startswith(("qint", "quint"))

    @property
    def is_numpy_compatible(self) -> bool:
        """Whether TensorFlow has a NumPy dtype for it: it has none for variants and handles."""
        return self.base_dtype.storage not in (Storage.NONE, Storage.VARIANT)

    def __repr__(self) -> str:
        return f"<DType {self.name}>"

    def __str__(self) -> str:
        """Return the name, which ``np.dtype`` takes too if NumPy has the dtype."""
        return self.name


def _low_bits(code: int, name: str, bits: int, *, signed: bool = False) -> DType:
    return DType(code, name, name, Storage.LOW_BITS, bits, signed)


DTYPES: dict[int, DType] = {
    dtype.code: dtype
    for dtype in (
        DType(1, "float32", "float32"),
        DType(2, "float64", "float64"),
        DType(3, "int32", "int32"),
        DType(4, "uint8", "uint8"),
        DType(5, "int16", "int16"),
        DType(6, "int8", "int8"),
        DType(7, "string", "object", Storage.STRING),
        DType(8, "complex64", "complex64"),
        DType(9, "int64", "int64"),
        DType(10, "bool", "bool_"),
        DType(11, "qint8", "int8"),
        DType(12, "quint8", "uint8"),
        DType(13, "qint32", "int32"),
        DType(14, "bfloat16", "bfloat16"),
        DType(15, "qint16", "int16"),
        DType(16, "quint16", "uint16"),
        DType(17, "uint16", "uint16"),
        DType(18, "complex128", "complex128"),
        DType(19, "float16", "float16"),
        DType(20, "resource", "object", Storage.NONE),
        DType(21, "variant", "object", Storage.VARIANT),
        DType(22, "uint32", "uint32"),
        DType(23, "uint64", "uint64"),
        DType(24, "float8_e5m2", "float8_e5m2"),
        DType(25, "float8_e4m3fn", "float8_e4m3fn"),
        DType(26, "float8_e4m3fnuz", "float8_e4m3fnuz"),
        DType(27, "float8_e4m3b11fnuz", "float8_e4m3b11fnuz"),
        DType(28, "float8_e5m2fnuz", "float8_e5m2fnuz"),
        _low_bits(29, "int4", 4, signed=True),
        _low_bits(30, "uint4", 4),
        _low_bits(31, "int2", 2, signed=True),
        _low_bits(32, "uint2", 2),
        _low_bits(33, "float4_e2m1fn", 4),
    )
}
"""Every dtype of TensorFlow 2.21 by its code."""


BY_NAME = {dtype.name: dtype for dtype in DTYPES.values()}
"""Every dtype by TensorFlow's name for it."""


_PYTHON = {
    bool: "bool",
    int: "int32",
    float: "float32",
    complex: "complex128",
    str: "string",
    bytes: "string",
}
"""Python's types -> the dtypes that TensorFlow gives them."""


# Bounded, because a file may hold any number of codes that do not exist.
@lru_cache(maxsize=256)
def find_dtype(code: int) -> DType:
    """Return the dtype of a code.

    An unknown code (invalid, a reference, or newer than TensorFlow 2.21) gives a dtype whose ``storage`` is
    NONE, so that listings can show it; reading its values is refused.
    """
    dtype = DTYPES.get(code)
    if dtype is not None:
        return dtype
    base = DTYPES.get(code - REF_OFFSET)
    name = f"{base.name}_ref" if base else "invalid" if code == 0 else f"unknown_{code}"
    return DType(code, name, "object", Storage.NONE)


# NumPy takes microseconds to name a dtype.
@lru_cache(maxsize=256)
def _as_dtype_of_numbers(dtype: np.dtype[Any]) -> DType:
    if dtype.name not in BY_NAME:
        raise TypeError(f"dtype: got {dtype}, want one of TensorFlow's")
    return BY_NAME[dtype.name]


def as_dtype(dtype: Any) -> DType:  # noqa: ANN401  (dtypes of any library)
    """Return the dtype for a dtype of TensorFlow, NumPy, JAX or PyTorch, a type of Python, a name or a code.

    Raises TypeError if TensorFlow has no such dtype.
    """
    if isinstance(dtype, DType):
        return dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biufc":
        return _as_dtype_of_numbers(dtype)
    # Not isinstance(), which would take True for code 1.
    code = dtype if type(dtype) is int else getattr(dtype, "as_datatype_enum", None)
    if isinstance(code, int):
        return find_dtype(code)
    if isinstance(dtype, type) and dtype in _PYTHON:
        return BY_NAME[_PYTHON[dtype]]
    # By name before asking NumPy, which does not know TensorFlow's own dtypes nor those of PyTorch.
    text = dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch.")
    if text in BY_NAME:
        return BY_NAME[text]
    try:
        known = np.dtype(dtype)
    except (TypeError, ValueError):
        known = None
    # Objects, bytes, text, and NumPy 2's StringDType.
    if known is not None and known.kind in "OSUT":
        return BY_NAME["string"]
    by_name = None if known is None else BY_NAME.get(known.name)
    if by_name is None:
        raise TypeError(f"dtype: got {text:.200}, want one of TensorFlow's")
    return by_name
