"""MessagePack: whether a file begins with a map of texts, as Flax writes checkpoints.

Source: https://github.com/msgpack/msgpack/blob/master/spec.md. The beginning is walked strictly, as far as
the bytes reach: any byte below 0x80 is an integer, so a loose test would accept almost anything.
"""

from __future__ import annotations

MAX_DEPTH = 32
"""Levels of maps and lists that are walked."""

MAX_ITEMS = 500
"""Objects that are walked."""

_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8} | {
    0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
"""First byte of an object of fixed size -> bytes after it."""

_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)} | {
    0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0),
}  # fmt: skip
"""First byte of an object with a size -> bytes of the size, and further bytes before the content."""

_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""First byte of a list or a map with a count -> bytes of the count, and objects of each element."""


class _EndError(Exception):
    """The bytes end here."""


def map_keys(head: bytes) -> list[str]:
    """Return the texts that are keys of the outermost map, as far as the bytes reach; empty without a map.

    All keys of all maps must be texts or integers, and every object must be one of the format.
    """
    if not head or not (0x81 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF)):
        return []
    keys: list[str] = []
    try:
        _walk(head, keys)
    except _EndError:
        return keys
    except ValueError:
        return []
    return keys


def _walk(head: bytes, keys: list[str]) -> None:
    """Walk objects; _EndError if the bytes end first, ValueError if they are not of this format."""
    pos = 0
    # The objects still to come, of each container that is open: its kind, and whether its keys are wanted.
    open_containers: list[list[int]] = []
    for _ in range(MAX_ITEMS):
        is_key = bool(open_containers) and open_containers[-1][1] == 2 and open_containers[-1][0] % 2 == 0
        first = _at(head, pos)
        pos += 1
        if is_key and not (0xA0 <= first <= 0xBF or 0xD9 <= first <= 0xDB or first < 0x80):
            raise ValueError("a key that is neither a text nor a number")
        if open_containers:
            open_containers[-1][0] -= 1
        if 0x80 <= first <= 0x9F or first in _CONTAINERS:
            width, each = _CONTAINERS.get(first, (0, 1 if first >= 0x90 else 2))
            count = _number(head, pos, width) if width else first & 0x0F
            pos += width
            open_containers.append([count * each, each])
            if len(open_containers) > MAX_DEPTH:
                return
        elif 0xA0 <= first <= 0xBF or first in _SIZED:
            width, more = _SIZED.get(first, (0, 0))
            size = _number(head, pos, width) if width else first & 0x1F
            pos += width + more
            if is_key:
                if pos + size > len(head):
                    raise _EndError
                text = head[pos : pos + size].decode()  # UnicodeDecodeError is a ValueError
                if not text.isprintable():
                    raise ValueError("a key that is not printable")
                if len(open_containers) == 1:
                    keys.append(text)
            pos += size
        elif first in _FIXED:
            pos += _FIXED[first]
        elif first == 0xC1:
            raise ValueError("0xc1 is never used")
        while open_containers and not open_containers[-1][0]:
            open_containers.pop()
        if not open_containers:
            return


def _at(head: bytes, pos: int) -> int:
    if pos >= len(head):
        raise _EndError
    return head[pos]


def _number(head: bytes, pos: int, width: int) -> int:
    if pos + width > len(head):
        raise _EndError
    return int.from_bytes(head[pos : pos + width], "big")
