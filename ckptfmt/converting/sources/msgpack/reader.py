"""MessagePack, read from a file without the bytes of the arrays in it.

Objects become those of Python; an array of NumPy, which ``flax.serialization`` writes as an extension,
becomes the place of its bytes. A length is compared with the bytes that remain before it is believed.

Source: https://github.com/msgpack/msgpack/blob/master/spec.md.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from ckptfmt.arrays.shape import Shape
from ckptfmt.errors import CorruptError, TruncatedError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile

ARRAY, COMPLEX, SCALAR = 1, 2, 3
"""The extensions of ``flax.serialization``."""

_WINDOW = 64 << 10
"""Bytes that are read at once."""

_OBJECT_BYTES = 100
"""Bytes of memory that an object takes, at least."""

_NUMBERS = {
    0xCA: struct.Struct(">f"),
    0xCB: struct.Struct(">d"),
    **{0xCC + power: struct.Struct(f">{code}") for power, code in enumerate("BHIQ")},
    **{0xD0 + power: struct.Struct(f">{code}") for power, code in enumerate("bhiq")},
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_WIDTHS = {
    "bytes": {0xC4: 1, 0xC5: 2, 0xC6: 4},
    "extension": {0xC7: 1, 0xC8: 2, 0xC9: 4},
    "text": {0xD9: 1, 0xDA: 2, 0xDB: 4},
    "list": {0xDC: 2, 0xDD: 4},
    "map": {0xDE: 2, 0xDF: 4},
}
_SIZED = {first: (kind, width) for kind, widths in _WIDTHS.items() for first, width in widths.items()}
"""First byte -> what follows, and bytes of its length."""
_FIXED_EXTENSIONS = {0xD4 + power: 1 << power for power in range(5)}


class ArrayPlace(NamedTuple):
    """An array: what it is, and where its bytes are in the file."""

    dtype: str
    shape: Shape
    offset: int
    size: int


class MsgpackReader:
    """Reads objects one after the other."""

    def __init__(self, file: RandomAccessFile, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._pos = 0
        self._window = b""
        self._window_at = 0
        self._objects = 0

    def read_object(self, depth: int = 0) -> Any:  # noqa: ANN401  (whatever is in the file)
        """Return the next object; raises CorruptError, UnsupportedError and LimitError with offsets."""
        at = self._pos
        self._limits.check_depth("MessagePack", depth)
        # An object of one byte takes a hundred in memory.
        self._objects += 1
        if self._objects * _OBJECT_BYTES > self._limits.free_bytes:
            self._limits.check_memory("MessagePack", self._objects * _OBJECT_BYTES, self._file.size)
        first = self._take(1)[0]
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBERS:
            number = _NUMBERS[first]
            return number.unpack(self._take(number.size))[0]
        if first in _FIXED_EXTENSIONS:
            return self._extension(_FIXED_EXTENSIONS[first], depth)
        if first <= 0x8F:
            return self._map(first & 0x0F, depth)
        if first <= 0x9F:
            return self._list(first & 0x0F, depth)
        if first <= 0xBF:
            return self._text(first & 0x1F)
        if first not in _SIZED:
            raise CorruptError("the byte 0xc1 begins no object", offset=at)
        kind, width = _SIZED[first]
        size = int.from_bytes(self._take(width), "big")
        if kind == "map":
            return self._map(size, depth)
        if kind == "list":
            return self._list(size, depth)
        if kind == "extension":
            return self._extension(size, depth)
        return self._text(size) if kind == "text" else self._take(size)

    def check_end(self) -> None:
        """Raise CorruptError unless all bytes were read."""
        if self._pos != self._file.size:
            raise CorruptError(f"got {self._file.size - self._pos} bytes after the object", offset=self._pos)

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        self._check_remaining(2 * count)
        items: dict[str, Any] = {}
        for _ in range(count):
            at = self._pos
            key = self.read_object(depth + 1)
            if isinstance(key, bytes):
                key = key.decode("utf-8", "surrogateescape")
            if type(key) not in (str, int):
                raise UnsupportedError(f"key: got {type(key).__name__}, want text or a number", offset=at)
            if str(key) in items:
                raise CorruptError(f"several values have the key {str(key)[:100]!r}", offset=at)
            items[str(key)] = self.read_object(depth + 1)
        return items

    def _list(self, count: int, depth: int) -> list[Any]:
        self._check_remaining(count)
        return [self.read_object(depth + 1) for _ in range(count)]

    def _text(self, size: int) -> str:
        at = self._pos
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise CorruptError(f"text is not UTF-8: {error.reason}", offset=at) from None

    def _extension(self, size: int, depth: int) -> Any:  # noqa: ANN401
        at = self._pos
        code = int.from_bytes(self._take(1), "big", signed=True)
        self._check_remaining(size)
        end = self._pos + size
        if code in (ARRAY, SCALAR):
            content: Any = self._array(depth)
        elif code == COMPLEX:
            parts = self.read_object(depth + 1)
            if not isinstance(parts, list) or [type(part) for part in parts] != [float, float]:
                raise CorruptError("a complex number: want two floats", offset=at)
            content = complex(*parts)
        else:
            raise UnsupportedError(f"extension {code}, which flax does not write", offset=at)
        if self._pos != end:
            raise CorruptError(f"extension of {size} bytes: its content has {self._pos - at - 1}", offset=at)
        return content

    def _array(self, depth: int) -> ArrayPlace:
        """Return the place of an array: a list of its shape, the name of its dtype, and its bytes."""
        at = self._pos
        if self._take(1) != b"\x93":
            raise CorruptError("an array: want a list of three", offset=at)
        shape, dtype = self.read_object(depth + 1), self.read_object(depth + 1)
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise CorruptError("shape of an array: want numbers that are not negative", offset=at)
        if isinstance(dtype, bytes):
            dtype = dtype.decode("utf-8", "replace")
        if not isinstance(dtype, str):
            raise CorruptError(f"dtype of an array: got {type(dtype).__name__}, want text", offset=at)
        at = self._pos
        first = self._take(1)[0]
        # Versions before use_bin_type wrote bytes as text.
        kind, width = ("text", 0) if 0xA0 <= first <= 0xBF else _SIZED.get(first, ("", 0))
        if kind not in ("bytes", "text"):
            raise CorruptError("an array: want bytes after its shape and dtype", offset=at)
        size = int.from_bytes(self._take(width), "big") if width else first & 0x1F
        self._check_remaining(size)
        place = ArrayPlace(dtype, tuple(shape), self._pos, size)
        self._pos += size
        return place

    def _check_remaining(self, size: int) -> None:
        """Raise TruncatedError unless so many bytes remain: an object takes at least one."""
        if self._pos + size > self._file.size:
            raise TruncatedError(
                "MessagePack", wanted=size, available=self._file.size - self._pos, offset=self._pos
            )

    def _take(self, size: int) -> bytes:
        self._check_remaining(size)
        start = self._pos - self._window_at
        if not 0 <= start <= start + size <= len(self._window):
            self._window_at, start = self._pos, 0
            length = min(max(size, _WINDOW), self._file.size - self._pos)
            self._window = bytes(self._file.read(self._pos, length))
        self._pos += size
        return self._window[start : start + size]
