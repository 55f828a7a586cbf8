"""Names that HDF5 cannot have as paths, escaped.

A name is a path of groups that ends in a dataset. These are escaped, in every name of a file that has one of
them, and an attribute of the root says so:

==============================================  =========================================================
a part ``.`` or ``..``                          ``%2E``, ``%2E%2E``
NUL                                             ``%00``
a byte that is not UTF-8                        ``%`` and two digits
an empty part, as in ``/w`` or ``a//b``         ``%_``, which stands for nothing
``w`` beside ``w/Adam``: a dataset and a group  ``w%_`` is the dataset
``%``                                           ``%25``
==============================================  =========================================================
"""

from __future__ import annotations

import re
from collections.abc import Collection

ESCAPED = b"ckptfmt_names"
"""The attribute of the root; its value is not read."""

_NOTHING = "%_"
_ESCAPE = re.compile(rb"%(?:([0-9A-F]{2})|_)")
_UNUSUAL = re.compile("[\0%\udc80-\udcff]")


def path_names(names: Collection[str]) -> tuple[dict[str, str], bool]:
    """Return the path of each name, and whether they are escaped.

    Raises ValueError for a name with half a surrogate pair, which is not a character.
    """
    groups = {name[:end] for name in names for end in _slashes(name)}
    if not any(name in groups or _has_unusual(name) for name in names):
        return {name: name for name in names}, False
    return {name: encode_name(name) + (_NOTHING if name in groups else "") for name in names}, True


def encode_name(name: str) -> str:
    """Return a name as a path that HDF5 can have; :func:`decode_name` is the inverse."""
    return "/".join(_encode_part(part) for part in name.split("/"))


def decode_name(path: str) -> str:
    """Return the name of an escaped path."""
    data = path.encode("utf-8", "surrogateescape")
    plain = _ESCAPE.sub(lambda found: bytes.fromhex((found[1] or b"").decode()), data)
    return plain.decode("utf-8", "surrogateescape")


def _encode_part(part: str) -> str:
    if not part:
        return _NOTHING
    if part in (".", ".."):
        return part.replace(".", "%2E")
    return _UNUSUAL.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", part)


def _has_unusual(name: str) -> bool:
    name.encode("utf-8", "surrogateescape")  # UnicodeEncodeError is a ValueError
    if "\0" in name or _UNUSUAL.search(name.replace("%", "")):
        return True
    return any(part in ("", ".", "..") for part in name.split("/"))


def _slashes(name: str) -> list[int]:
    return [at for at, character in enumerate(name) if character == "/"]
