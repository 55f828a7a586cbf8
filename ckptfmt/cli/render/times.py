"""Times and numbers as a person reads them, with nothing lost."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

_EPOCH = datetime(1970, 1, 1)  # in UTC, as wall times are


def time_text(seconds: float) -> str:
    """Return a time in seconds since 1970 as a date in UTC: ``2026-01-31 23:59:59Z``.

    Microseconds follow if it has any. A number that is not a date, such as NaN, is shown as it is.
    """
    try:
        date = _EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return repr(seconds)
    return f"{date.isoformat(sep=' ')}Z"


def number_text(value: float) -> str:
    """Return the shortest text of a number: of a float32 if it is one, since most logged numbers are.

    The double nearest to the float32 0.1 is 0.10000000149011612; all digits after the first are noise.
    """
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return str(single) if float(single) == value else repr(value)
