"""Keys of zarr: the path at which a hierarchy has the array of a name.

A name is a path as it is: ``dense/kernel`` is the array ``kernel`` in the group ``dense``. zarr cannot have
every name. An array has no arrays below it, though TensorFlow has ``w`` and ``w/Adam``; no part of a path is
empty, all periods, begins with two underscores, or is the name of a file of zarr's own; and no file system
has every character, or tells ``A`` from ``a`` on all machines. Such names are escaped as in URLs, ``%2F`` for
a slash, and the attribute :data:`ESCAPED` of the array says so: :func:`name_of_key` is the inverse.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html, section "Node names".
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from ckptfmt.checkpoint.entry import key_of, name_of

ESCAPED = "ckptfmt_escaped"
"""The attribute of an array whose key is escaped; its value is true."""

EMPTY = "%"
"""An empty part of a name, escaped. A percent sign is ``%25`` in an escaped key, so no other part is this."""

MAX_PART = 255
"""Bytes of the longest file name that usual file systems have."""

MAX_PARTS = 64
"""The most parts of a path; names with more are one part, escaped."""

_UNSAFE = re.compile(r'[\0-\x1f\x7f%\\:*?"<>|\ud800-\udfff]')
"""Characters that some file system does not have in a name, and bytes that are not UTF-8."""

_RESERVED = re.compile(r"\.*\Z|__|zarr\.json\Z|\.z(?:array|group|attrs|metadata)\Z", re.IGNORECASE)

# What ``quote`` leaves as it is, besides letters, digits and ``_.-~``.
_SAFE = "!#$&'()+,;=@[]^`{} "


def array_keys(names: Iterable[str], *, fold_case: bool) -> dict[str, str]:
    """Return the key of each name, which is the name itself unless zarr cannot have it.

    ``fold_case`` is for directories: no two keys differ in case only.
    """
    arrays = dict.fromkeys(names)
    keys = {}
    spellings: dict[str, str] = {}
    # Many names are in one group, so what was found out about the group is remembered.
    plain_groups: dict[str, bool] = {"": True}
    for name in arrays:
        group, _, last = name.rpartition("/")
        is_plain = not _UNSAFE.search(last) and not _RESERVED.match(last) and name[:1] != "/"
        if is_plain and not fold_case and _is_plain_group(group, arrays, plain_groups):
            keys[name] = name
            continue
        parts = _parts(name, arrays)
        if _UNSAFE.search(name) or any(map(_RESERVED.match, parts)) or parts[-1].count("/"):
            parts = [_escape(part) for part in parts]
        if fold_case:
            parts = _respelled(parts, spellings)
        keys[name] = "/".join(parts)
    return keys


def _is_plain_group(group: str, arrays: Container[str], known: dict[str, bool]) -> bool:
    """Return whether arrays in a group have their names as keys; ``known`` has the answers so far."""
    if group not in known:
        parts = group.split("/")
        known[group] = (
            len(parts) < MAX_PARTS
            and not _UNSAFE.search(group)
            and not any(map(_RESERVED.match, parts))
            and not any("/".join(parts[:end]) in arrays for end in range(1, len(parts) + 1))
        )
    return known[group]


def name_of_key(key: str, attributes: Mapping[str, Any]) -> str:
    """Return the name of an array, given its key and attributes."""
    if attributes.get(ESCAPED) is not True:
        return key
    parts = ("" if part == EMPTY else name_of(unquote_to_bytes(part)) for part in key.split("/"))
    return "/".join(parts)


def _parts(name: str, arrays: Container[str]) -> list[str]:
    """Return the parts of a key, not escaped: what comes after the name of another array is one part."""
    parts = name.split("/")
    if len(parts) > MAX_PARTS:
        return [name]
    for end in range(1, len(parts)):
        if "/".join(parts[:end]) in arrays:
            return [*parts[: end - 1], "/".join(parts[end - 1 :])]
    return parts


def _escape(part: str) -> str:
    if not part:
        return EMPTY
    key = quote(key_of(part), safe=_SAFE)
    # The last alternative of a reserved name is one of zarr's files; its first character will do.
    return _hex(key, len(key) if not key.strip(".") else 1) if _RESERVED.match(key) else key


def _hex(key: str, count: int) -> str:
    """Escape the first characters of an escaped part."""
    return "".join(f"%{ord(character):02X}" for character in key[:count]) + key[count:]


def _respelled(parts: Iterable[str], spellings: dict[str, str]) -> list[str]:
    """Escape the letters of each part that an earlier path spells with other capitals."""
    path = ""
    result = []
    for part in parts:
        folded = f"{path}/{part}".casefold()
        if spellings.setdefault(folded, f"{path}/{part}") != f"{path}/{part}":
            part = re.sub("(%..)|([A-Za-z])", lambda m: m[1] or _hex(m[2], 1), quote(part, safe=_SAFE + "%"))
        path = f"{path}/{part}"
        result.append(part)
    return result
