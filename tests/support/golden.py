"""The checkpoints of tests/data/golden and what TensorFlow says is in them, without TensorFlow."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

GOLDEN = Path(__file__).parent.parent / "data" / "golden"

QUANTISED = {"qint8": "int8", "quint8": "uint8", "qint16": "int16", "quint16": "uint16", "qint32": "int32"}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype in which a TensorFlow dtype's values are recorded."""
    name = QUANTISED.get(name, name)
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name, name))
    return dtype if hasattr(ml_dtypes, name) else dtype.newbyteorder("<")


def array(entry: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """The value of an entry: bytes objects for strings, `GoldenVariant` objects for variants."""
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
        # Not objects[:] = elements: that goes through a fixed-width dtype, which drops trailing zero bytes.
        for i, element in enumerate(elements):
            objects[i] = element
        return objects.reshape(shape)
    dtype = numpy_dtype(entry.get("as", entry["dtype"]))
    return np.frombuffer(bytes.fromhex(entry["data"]), dtype).reshape(shape)


@dataclass(frozen=True)
class GoldenVariant:
    """One element of a variant tensor, as tf.io.serialize_tensor gives it."""

    type_name: str
    metadata: bytes
    tensors: tuple[tuple[str, np.ndarray[Any, Any]], ...]
    """The dtype's name and the value of each inner tensor."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> GoldenVariant:
        """From its JSON."""
        tensors = tuple((inner["dtype"], array(inner)) for inner in entry["tensors"])
        return cls(entry["type_name"], bytes.fromhex(entry["metadata"]), tensors)


@dataclass(frozen=True)
class GoldenPiece:
    """A region of a tensor, as RestoreV2 read it or refused to."""

    slice: str
    """As in shape_and_slices: ``0,2:-``."""
    value: np.ndarray[Any, Any] | None
    refused: str | None


@dataclass(frozen=True)
class GoldenTensor:
    """One tensor of a golden checkpoint."""

    key: bytes
    dtype: str
    shape: tuple[int, ...]
    source: str
    """``read`` by RestoreV2, ``read slice by slice``, ``written`` (fed in; not readable), or ``none``."""
    slices: tuple[str, ...]
    """How it was cut, in the order of saving, where the case cut it itself."""
    refused: Mapping[str, str]
    """What TensorFlow answered where it could not read the whole tensor, by the op or call."""
    entry: Mapping[str, Any]
    """The tensor's JSON."""

    @property
    def name(self) -> str:
        """The key as text; bytes that are not UTF-8 as surrogates."""
        return self.key.decode("utf-8", "surrogateescape")

    @property
    def cast(self) -> bool:
        """Whether `expected` has a larger common dtype instead of the tensor's own."""
        return "as" in self.entry

    @property
    def has_value(self) -> bool:
        """Whether there is anything to expect; not so where slices are missing or overlap."""
        return self.source != "none"

    def expected(self) -> np.ndarray[Any, Any]:
        """The value; see `array` and `cast`."""
        if not self.has_value:
            raise ValueError(f"{self.name!r} has no value as a whole")
        return array(self.entry)

    def pieces(self) -> list[GoldenPiece]:
        """Regions that were read on their own, for tensors without a value as a whole."""
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
    """One golden checkpoint."""

    case: str
    tensorflow: str
    call: str
    format: str
    """``v2`` or ``v1``."""
    folder: Path
    path: Path
    """What a user would open; for a sharded V1 checkpoint with the literal ``?????``."""
    tensors: Mapping[bytes, GoldenTensor]
    """By key, in byte order."""
    facts: Mapping[str, Any]
    """The whole JSON, for what only some cases have: num_shards, latest, all_paths, saved_model, ..."""

    def __str__(self) -> str:
        return self.case


def _ruled(rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of the case `many`, whose values are a rule."""
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
    """One case by its name."""
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
    """All cases, or those of one format, by name."""
    found = [load(path.stem) for path in sorted(GOLDEN.glob("*.json"))]
    return [golden for golden in found if format in (None, golden.format)]
