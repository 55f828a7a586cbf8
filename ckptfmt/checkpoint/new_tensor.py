"""A tensor about to be written: what a user gave, checked, and the form in which a bundle stores it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.convert import as_tensor
from ckptfmt.arrays.encode import encode_variant
from ckptfmt.arrays.raw import encode_pieces
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.stored_form import StoredForm
from ckptfmt.checkpoint.strings import encode_strings, encode_variants
from ckptfmt.dtypes import DType, Storage, as_dtype
from ckptfmt.errors import UnsupportedError


class NewTensor(NamedTuple):
    """A tensor, or a slice of one, that can be written."""

    dtype: DType
    shape: Shape
    form: StoredForm


def new_tensor(label: str, values: Any, dtype: Any) -> NewTensor:  # noqa: ANN401
    """Return the tensor of a user's values, under the dtype that was asked for or their own.

    Nothing has been written when this returns, and writing the tensor can fail only because of the system.
    Errors begin with ``label``.

    Raises
    ------
    TypeError
        TensorFlow has no such dtype, or not for these values.
    ValueError
        A value exceeds the dtype, or nested lists differ in length.
    UnsupportedError
        Tensors of that dtype cannot be stored.
    """
    try:
        known, array = as_tensor(values, None if dtype is None else as_dtype(dtype).base_dtype)
        if known.storage is Storage.NONE:
            raise UnsupportedError(f"tensors of dtype {known.name} cannot be stored")
        return NewTensor(known, array.shape, _stored_form(array, known))
    except UnsupportedError as error:
        error.what = f"{label}: {error.what}"
        raise
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{label}: {error}") from error


def _stored_form(array: Array, dtype: DType) -> StoredForm:
    if dtype.storage is Storage.STRING:
        return encode_strings(array)
    if dtype.storage is Storage.VARIANT:
        return encode_variants([encode_variant(value).SerializeToString() for value in array.ravel()])
    size = array.size * dtype.numpy.itemsize
    return StoredForm((), 0, encode_pieces(array, dtype), size)
