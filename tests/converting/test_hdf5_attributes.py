"""Attributes of HDF5 groups, read without HDF5: the same as h5py reads."""

from __future__ import annotations

import io
from typing import Any

import h5py
import numpy as np
import pytest

from ckptfmt.converting.sources.hdf5.source import open_hdf5
from ckptfmt.errors import CkptfmtError, UnsupportedError
from ckptfmt.limits import DEFAULT
from tests.support.memory_filesystem import MemoryFilesystem

VERSIONS: list[dict[str, Any]] = [{}, {"libver": "latest"}, {"userblock_size": 512}, {"track_order": True}]


def written(count: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        file.attrs["model_config"] = b"x" * 100_000
        file.attrs["text"] = "str\u00e4"
        file.attrs["fixed"] = np.bytes_(b"abc")
        file.attrs["number"] = 5
        for part in range(count):
            file.attrs[f"layer_names{part}"] = [b"dense", b"conv"]
        group = file.create_group("a/b")
        group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
        group["kernel:0"] = np.zeros(3, np.float32)
    return buffer.getvalue()


def attributes(content: bytes, group: str = "/") -> dict[str, list[bytes]]:
    return open_hdf5(MemoryFilesystem({"m.h5": content}).open("m.h5"), DEFAULT).attributes(group)


@pytest.mark.parametrize("options", VERSIONS, ids=str)
def test_attributes_are_those_of_h5py(options: dict[str, Any]) -> None:
    content = written(3, **options)
    assert attributes(content) == {
        "model_config": [b"x" * 100_000],
        "text": ["str\u00e4".encode()],
        "fixed": [b"abc"],
        **{f"layer_names{part}": [b"dense", b"conv"] for part in range(3)},
    }
    assert attributes(content, "a/b") == {"weight_names": [b"kernel:0", b"bias:0"]}
    assert attributes(content, "missing") == {}


def test_many_attributes() -> None:
    assert len(attributes(written(30))) == 33
    with pytest.raises(UnsupportedError, match=r"more attributes than its header holds"):
        attributes(written(30, libver="latest"))


@pytest.mark.parametrize("options", VERSIONS[:2], ids=str)
def test_damage_is_an_error_or_changes_values(options: dict[str, Any]) -> None:
    content = written(1, **options)
    start = content.index(b"model_config") - 300
    done = 0
    for at in range(max(0, start), min(len(content), start + 1200)):
        for mask in (0xFF, 0x01):
            damaged = bytearray(content)
            damaged[at] ^= mask
            try:
                attributes(bytes(damaged))
                attributes(bytes(damaged), "a/b")
                done += 1
            except CkptfmtError:
                pass
    assert done
