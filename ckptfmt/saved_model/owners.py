"""Owners: for each tensor that users give, the mapping that has it, of all the forms that ``save`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckptfmt.saving.sources import Savable, groups_of


def owners_of(tensors: Savable) -> dict[str, Mapping[str, Any]]:
    """Return the mapping that has each tensor, by name; no value is read.

    Raises TypeError for something that is not a mapping, such as a path, and NameConflictError if several
    mappings have a name.
    """
    return {name: group for group in groups_of(tensors) for name in group}
