"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([kmgtp]?)(i?)(b?)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return a number of bytes: ``4096``, ``1.5MiB``, ``64k``. K and KiB are 1024, KB is 1000.

    Raises ValueError if the text is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is not a size, such as 4096, 64K, 1.5MiB or 2GB")
    base = 1000 if match[2] and match[4] and not match[3] else 1024
    power = " kmgtp".index(match[2].lower() or " ")
    # Without a point it stays an integer: a float would round sizes above 2**53.
    number = float(match[1]) if "." in match[1] else int(match[1])
    return int(number * base**power)
