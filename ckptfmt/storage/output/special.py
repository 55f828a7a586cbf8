"""Devices, pipes and open descriptors: written to, never created or replaced."""

from __future__ import annotations

import os
from typing import BinaryIO

from ckptfmt.storage.target import descriptor_of


def open_special(path: str) -> BinaryIO:
    """Open a device, a pipe or an open descriptor without creating or replacing anything.

    A descriptor is duplicated, so that writing continues at its position. Opened by path, a file that the
    shell redirects output to would be written from its beginning.
    """
    number = descriptor_of(path)
    if number is None:
        return os.fdopen(os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0)), "wb")
    return os.fdopen(os.dup(number), "wb")


def open_null() -> int:
    """Return a descriptor of the device that swallows what is written to it."""
    return os.open(os.devnull, os.O_WRONLY)
