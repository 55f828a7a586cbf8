"""A kind of file: what it is called, how it is recognised, and what reads it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ckptfmt.filetype.look import Look
from ckptfmt.filetype.signs import DirectorySign, Sign


class Holds(Enum):
    """What this package reads; the value completes an error message: "..., not a graph"."""

    CHECKPOINT = "a TensorFlow checkpoint"
    GRAPH = "a graph"
    META_GRAPH = "a MetaGraphDef"
    SAVED_MODEL = "a SavedModel"
    EVENTS = "a TensorBoard event file"
    RECORDS = "a TFRecord file"


@dataclass(frozen=True, eq=False, repr=False)
class Kind:
    """A kind of file or directory, equal only to itself."""

    what: str
    """What it is, with its article, to be put into a sentence. No two kinds share it."""
    reader: str = ""
    """What reads it, or what to do about it, as a clause that ends an error message; empty if unknown."""
    signs: tuple[Sign, ...] = ()
    """Signs in the content of a file, each sufficient."""
    directory: tuple[DirectorySign, ...] = ()
    """Signs in the names of the files in a directory, each sufficient."""
    name: re.Pattern[str] | None = None
    """The path of a file whose content tells nothing."""
    holds: Holds | None = None
    """What this package reads from it; None if it reads nothing, or not from this file alone."""
    tensors: str | None = None
    """The format by which ``ckptfmt.open_tensors`` reads tensors from it: ``"safetensors"``."""
    detail: Callable[[Look], str] | None = None
    """Returns a clause about one file of this kind, such as names in an archive; it may be empty."""

    def __repr__(self) -> str:
        return f"<{self.what}>"
