"""PyTorch's files, written: a ``state_dict`` that ``torch.load`` opens, made without PyTorch.

::

    archive/data.pkl     a pickle of a dictionary: for each name a call that makes a tensor of a storage
    archive/byteorder    little
    archive/data/0       the bytes of the first tensor, aligned to 64, and so on
    archive/version      3

``torch.save`` has all tensors in memory; here they are streamed. The pickle has only what
``torch.load(weights_only=True)`` allows, and ``mmap=True`` maps the bytes where they are.

Source: ``torch/serialization.py``, ``torch/_tensor.py`` and ``pickletools.py`` of Python.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ckptfmt.arrays.shape import Shape
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sinks.zip_writer import ZipWriter
from ckptfmt.converting.sources.torch.values import LATER_DTYPES, STORAGES

_CLASSES = {dtype: storage for storage, dtype in STORAGES.items()}

_MAX_RANK = 64
"""The most dimensions of PyTorch's tensors."""

_ROOT = "archive"
"""The folder in the archive, which ``torch.load`` does not look at."""

_OF_STORAGE = b"ctorch._utils\n_rebuild_tensor_v2\n"
_OF_BYTES = b"ctorch._utils\n_rebuild_tensor_v3\n"
_BYTES = b"ctorch.storage\nUntypedStorage\n"
_DICTIONARY = b"ccollections\nOrderedDict\n"
"""Instructions that push a name."""


class TorchSink:
    """Writes ``.pt`` files; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "torch"
    resumes = True

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        if tensor.dtype.name not in _CLASSES and tensor.dtype.name not in LATER_DTYPES:
            return f"no dtype {tensor.dtype.name}"
        return f"no shape of more than {_MAX_RANK} dimensions" if len(tensor.shape) > _MAX_RANK else None

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return nothing: any names may be together."""
        return {}

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write one file."""
        with writing.create() as output:
            archive = ZipWriter(writing, output)
            pickle = _pickle(tensors)
            archive.add(f"{_ROOT}/data.pkl", [pickle], len(pickle))
            archive.add(f"{_ROOT}/byteorder", [b"little"], 6)
            for number, tensor in enumerate(tensors):
                archive.add(f"{_ROOT}/data/{number}", tensor.encoded(writing.advance), tensor.nbytes)
                tensor.release()
            archive.add(f"{_ROOT}/version", [b"3\n"], 2)
            archive.finish()
        return [writing.path]


class _Memo:
    """What a pickle repeats for each tensor: written once, and then referred to by its number."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def push(self, instruction: bytes) -> bytes:
        """Return the instructions that push what ``instruction`` pushes; there are at most 256 of these."""
        number = self._numbers.get(instruction)
        if number is not None:
            return b"h" + bytes([number])
        number = self._numbers[instruction] = len(self._numbers)
        return instruction + b"q" + bytes([number])


def _pickle(tensors: Sequence[Outgoing]) -> bytes:
    """Return the pickle of a dictionary of all tensors, in protocol 2."""
    memo = _Memo()
    parts = [b"\x80\x02}("]
    for number, tensor in enumerate(tensors):
        parts += [_text(tensor.name), _tensor(number, tensor, memo)]
    return b"".join([*parts, b"u."])


def _tensor(number: int, tensor: Outgoing, memo: _Memo) -> bytes:
    """Return the instructions that push a tensor, which has the storage of that number to itself."""
    shape, dtype = tensor.shape, tensor.dtype.name
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= max(size, 1)
    name = _CLASSES.get(dtype)
    if name is None:
        rebuild, storage, count = _OF_BYTES, _BYTES, tensor.nbytes
    else:
        rebuild, storage = _OF_STORAGE, f"ctorch\n{name}\n".encode()
        count = tensor.nbytes // (tensor.dtype.itemsize or 1)
    push = memo.push
    return b"".join(
        [
            push(rebuild) + b"((" + push(_text("storage")) + push(storage) + _text(str(number)),
            push(_text("cpu")) + _integer(count) + b"tQ",
            _integer(0) + _tuple(shape) + _tuple(tuple(strides)),
            b"\x89" + push(_DICTIONARY) + b")R",  # without gradients, and without hooks
            b"" if name else push(f"ctorch\n{dtype}\n".encode()),
            b"tR",
        ]
    )


def _tuple(numbers: Shape) -> bytes:
    return b"(" + b"".join(map(_integer, numbers)) + b"t"


def _integer(number: int) -> bytes:
    """Return the instruction that pushes a number that is not negative."""
    if number < 1 << 8:
        return b"K" + bytes([number])
    if number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    size = number.bit_length() // 8 + 1  # with a bit for the sign
    return b"\x8a" + bytes([size]) + number.to_bytes(size, "little")


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data
