"""The checkpoints of tests/data/golden and what TensorFlow read from them, loaded without TensorFlow."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

GOLDEN = Path(__file__).parent.parent / "data" / "golden"

QUANTISED = {"qint8": "int8", "quint8": "uint8", "qint16": "int16", "quint16": "uint16", "qint32": "int32"}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype in which the values of a TensorFlow dtype are recorded."""
    name = QUANTISED.get(name, name)
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name, name))
    return dtype if hasattr(ml_dtypes, name) else dtype.newbyteorder("<")


def array(entry: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Return the value of an entry: bytes objects for strings, `GoldenVariant` objects for variants."""
    shape = tuple(entry["shape"])
    if "strings" in entry or "variants" in entry:
        if "strings" in entry:
            elements: list[Any] = [
                bytes.fromhex(text) if isinstance(text, str) else bytes.fromhex(text[0]) * text[1]
                for text in entry["strings"]
            ]
        else:
            elements = [GoldenVariant.of(each) for each in entry["variants"]]
        objects = np.empty(len(elements), object)
        # objects[:] = elements would go through a fixed-width dtype, which drops trailing zero bytes.
        for i, element in enumerate(elements):
            objects[i] = element
        return objects.reshape(shape)
    dtype = numpy_dtype(entry.get("as", entry["dtype"]))
    return np.frombuffer(bytes.fromhex(entry["data"]), dtype).reshape(shape)


@dataclass(frozen=True)
class GoldenVariant:
    """An element of a variant tensor, as tf.io.serialize_tensor returns it."""

    type_name: str
    metadata: bytes
    tensors: tuple[tuple[str, np.ndarray[Any, Any]], ...]
    """The dtype name and the value of each inner tensor."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> GoldenVariant:
        """Return the variant that JSON describes."""
        tensors = tuple((inner["dtype"], array(inner)) for inner in entry["tensors"])
        return cls(entry["type_name"], bytes.fromhex(entry["metadata"]), tensors)


@dataclass(frozen=True)
class GoldenPiece:
    """A region of a tensor, as RestoreV2 read it or refused to."""

    slice: str
    """The region as in shape_and_slices: ``0,2:-``."""
    value: np.ndarray[Any, Any] | None
    refused: str | None


@dataclass(frozen=True)
class GoldenTensor:
    """A tensor of a golden checkpoint."""

    key: bytes
    dtype: str
    shape: tuple[int, ...]
    source: str
    """Origin of the value: ``read`` by RestoreV2, ``read slice by slice``, ``written``, or ``none``."""
    slices: tuple[str, ...]
    """Its slices in the order in which they were saved, if the case cut it."""
    refused: Mapping[str, str]
    """Op or call -> TensorFlow's answer, if it could not read the whole tensor."""
    entry: Mapping[str, Any]
    """The tensor's JSON."""

    @property
    def name(self) -> str:
        """The key as text, with surrogates for bytes that are not UTF-8."""
        return self.key.decode("utf-8", "surrogateescape")

    @property
    def cast(self) -> bool:
        """Whether `expected` returns a wider, common dtype instead of the tensor's own."""
        return "as" in self.entry

    @property
    def has_value(self) -> bool:
        """Whether the tensor has a value; it has none if slices are missing or overlap."""
        return self.source != "none"

    def expected(self) -> np.ndarray[Any, Any]:
        """Return the value; see `array` and `cast`."""
        if not self.has_value:
            raise ValueError(f"{self.name!r} has no value as a whole")
        return array(self.entry)

    def pieces(self) -> list[GoldenPiece]:
        """Return the regions that were read separately, for tensors without a value."""
        return [
            GoldenPiece(
                piece["slice"],
                None if "refused" in piece else array({"dtype": self.dtype, **piece}),
                piece.get("refused"),
            )
            for piece in self.entry.get("pieces", ())
        ]


@dataclass(frozen=True)
class Golden:
    """A golden checkpoint."""

    case: str
    tensorflow: str
    call: str
    format: str
    """``v2`` or ``v1``."""
    folder: Path
    path: Path
    """The path to open; for a sharded V1 checkpoint it holds a literal ``?????``."""
    tensors: Mapping[bytes, GoldenTensor]
    """Tensors by key, in byte order."""
    facts: Mapping[str, Any]
    """The whole JSON, with fields that only some cases have: num_shards, latest, all_paths, saved_model, …"""

    def __str__(self) -> str:
        return self.case


def _ruled(rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of the case `many`, whose values follow a rule."""
    middle = "block/of/a/rather/long/name/" * 5
    return [
        {
            "name": f"{hashlib.sha256(str(i).encode()).hexdigest()[:8]}/{middle}{i}",
            "dtype": rule["dtype"],
            "shape": [2],
            "data": np.array([i, i + 1], "<i4").tobytes().hex(),
            "source": "read",
        }
        for i in range(rule["count"])
    ]


def _tensor(entry: Mapping[str, Any]) -> GoldenTensor:
    return GoldenTensor(
        key=bytes.fromhex(entry["name_hex"]) if "name_hex" in entry else entry["name"].encode(),
        dtype=entry["dtype"],
        shape=tuple(entry["shape"]),
        source=entry["source"],
        slices=tuple(entry.get("slices", ())),
        refused=entry.get("refused", {}),
        entry=entry,
    )


@functools.cache
def load(case: str) -> Golden:
    """Return a case by its name."""
    facts = json.loads((GOLDEN / f"{case}.json").read_text(encoding="utf-8"))
    entries = _ruled(facts["rule"]) if "rule" in facts else facts["tensors"]
    tensors = {tensor.key: tensor for tensor in map(_tensor, entries)}
    folder = GOLDEN / case
    return Golden(
        case=facts["case"],
        tensorflow=facts["tensorflow"],
        call=facts["call"],
        format=facts["format"],
        folder=folder,
        path=folder / facts["path"],
        tensors=dict(sorted(tensors.items())),
        facts=facts,
    )


def cases(format: str | None = None) -> list[Golden]:  # noqa: A002 - the word of the JSON
    """Return all cases, or those of a format, sorted by name."""
    found = [load(path.stem) for path in sorted(GOLDEN.glob("*.json"))]
    return [golden for golden in found if format in (None, golden.format)]


def copied(case: str, to: Path) -> Path:
    """Copy a golden case, which a test may then damage; return the path to open."""
    golden = load(case)
    shutil.copytree(golden.folder, to / case)
    return to / case / golden.path.relative_to(golden.folder)


def flip(path: Path, offset: int) -> None:
    """Flip one bit of a byte in a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)
