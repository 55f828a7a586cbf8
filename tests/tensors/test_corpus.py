"""Checkpoints that other people wrote, with TensorFlow 0.7 to 2.18, against what TensorFlow 2.21 says."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CheckpointNotFoundError
from tests.support.corpus import CHECKPOINT_KINDS, CORPUS, entries, has_variables, load_expected

SPEC = pytest.mark.parametrize(
    "item",
    [item for item in entries(*CHECKPOINT_KINDS) if item.values[0] is None or has_variables(item.values[0])],
)


def digest(array: np.ndarray) -> str:
    """SHA-256 of the values: the bytes of numbers, of each string its length and bytes."""
    sha = hashlib.sha256()
    if array.dtype == object:
        for value in array.flat:
            sha.update(len(value).to_bytes(8, "little") + value)
    else:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def tensors(item: dict[str, Any]) -> list[dict[str, Any]]:
    said = load_expected(item["name"])
    found: list[dict[str, Any]] = said["tensors"] if "tensors" in said else said["variables"]["tensors"]
    return found


@SPEC
def test_names_dtypes_and_shapes(item: dict[str, Any]) -> None:
    ckpt = ckptfmt.open(CORPUS / item["path"])
    listed = {name: (entry.dtype.name, list(entry.shape)) for name, entry in ckpt.entries.items()}
    assert listed == {tensor["name"]: (tensor["dtype"], tensor["shape"]) for tensor in tensors(item)}


@SPEC
def test_values(item: dict[str, Any]) -> None:
    ckpt = ckptfmt.open(CORPUS / item["path"])
    for tensor in tensors(item):
        if "sha256" in tensor:
            assert digest(ckpt[tensor["name"]]) == tensor["sha256"], tensor["name"]
        else:
            assert "No such file" in tensor["error"]["message"]
            with pytest.raises(CheckpointNotFoundError, match="shard 0 of 1"):
                ckpt[tensor["name"]]


@SPEC
def test_verify(item: dict[str, Any]) -> None:
    report = ckptfmt.open(CORPUS / item["path"]).verify()
    whole = all("sha256" in tensor for tensor in tensors(item))
    assert report.ok == whole
    assert report.tensors == len(tensors(item))
    assert report.tensors_checked == (report.tensors if whole else 0)
