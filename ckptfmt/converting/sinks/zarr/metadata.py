"""The metadata of zarr version 3, as JSON: of arrays in regular chunks, and of their groups."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region
from ckptfmt.converting.sources.zarr.keys import ESCAPED

FILL_VALUES: dict[str, Any] = {
    "bool": False,
    **{f"{sign}int{bits}": 0 for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": 0.0 for bits in (16, 32, 64)},
    **{f"complex{bits}": [0.0, 0.0] for bits in (64, 128)},
    "variable_length_bytes": "",
}
"""The data types of zarr that tensors have, each with the value of elements that are not stored."""


def array_metadata(
    data_type: str,
    shape: Shape,
    chunk_shape: Shape,
    codecs: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Any],
    dimension_names: Sequence[str],
) -> dict[str, Any]:
    """Return the content of an array's ``zarr.json``."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk_shape)}},
        # With a slash, each array would take one more directory.
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": FILL_VALUES[data_type],
        "codecs": list(codecs),
        "attributes": dict(attributes),
        "dimension_names": list(dimension_names),
    }


def group_metadata(attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the content of a group's ``zarr.json``."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes or {})}


def escaped_attribute(name: str, key: str) -> dict[str, Any]:
    """Return the attribute that says that a key is not the name itself, if it is not."""
    return {} if name == key else {ESCAPED: True}


def dimension_names(key: str, rank: int) -> list[str]:
    """Return names of dimensions, which xarray asks for: no two arrays of a group share one."""
    last = key.rpartition("/")[2]
    return [f"{last}_dim{number}" for number in range(rank)]


def groups_above(keys: Iterable[str]) -> dict[str, None]:
    """Return the keys of all groups that arrays are in, without the root, parents first."""
    groups: dict[str, None] = {}
    for key in keys:
        missing = []
        group = key.rpartition("/")[0]
        while group and group not in groups:
            missing.append(group)
            group = group.rpartition("/")[0]
        groups |= dict.fromkeys(reversed(missing))
    return groups


def in_tree_order(keys: Iterable[str]) -> list[str]:
    """Return keys in the order of a walk: what is in one group stands together.

    The library zarr needs consolidated metadata in such an order: from others it makes a wrong tree.
    """
    return sorted(keys, key=lambda key: key.split("/"))


def to_json(value: Any) -> bytes:  # noqa: ANN401  (what JSON holds)
    """Return JSON as it goes into a file: ASCII only, so that any name can be in it."""
    return json.dumps(value, separators=(",", ":")).encode()


def chunks_of(shape: Shape, chunk_shape: Shape) -> Iterator[tuple[tuple[int, ...], Region]]:
    """Iterate over the chunks of an array: the position of each in the grid, and its region."""
    counts = (math.ceil(size / chunk) for size, chunk in zip(shape, chunk_shape, strict=True))
    for position in product(*map(range, counts)):
        yield (
            position,
            tuple(
                (number * chunk, min((number + 1) * chunk, size))
                for number, chunk, size in zip(position, chunk_shape, shape, strict=True)
            ),
        )


def chunk_shape_of(shape: Shape, limit: int) -> Shape:
    """Return the shape of chunks of up to ``limit`` elements that are stretches of the array in C order.

    The stretches are as equal as can be: an edge chunk takes as much space as any.
    """
    chunk = list(shape)
    for axis, size in enumerate(shape):
        inner = math.prod(shape[axis + 1 :])
        if size * inner <= limit:
            break
        rows = max(1, limit // max(1, inner))
        chunk[axis] = math.ceil(size / math.ceil(size / rows))
        if rows > 1 or inner <= limit:
            break
    # A chunk of an empty array has a size too.
    return tuple(max(1, size) for size in chunk)
