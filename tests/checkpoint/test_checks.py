"""Checksums: verified when bytes are first read, and again if they are read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.errors import ChecksumError


def test_a_piece_is_due_until_it_is_done() -> None:
    checks = Checks(enabled=True, once=True)
    part = ckptfmt.TensorSlice(((0, 2),))
    assert checks.is_due("a")
    checks.done("a")
    assert not checks.is_due("a")
    assert checks.is_due(("a", part))
    checks.all_done([("a", part), "b"])
    assert not checks.is_due(("a", part))
    assert not checks.is_due("b")


def test_a_piece_that_may_change_is_always_due_and_nothing_is_if_checks_are_off() -> None:
    changing, off = Checks(enabled=True, once=False), Checks(enabled=False, once=True)
    for checks in (changing, off):
        checks.done("a")
        checks.all_done(["a"])
    assert changing.is_due("a")
    assert not off.is_due("a")


def test_what_is_read_again_is_verified_again(large: dict[str, np.ndarray], tmp_path: Path) -> None:
    ckpt = ckptfmt.open(tmp_path / "ckpt", backend="pread")
    np.testing.assert_array_equal(ckpt["small"], large["small"])
    np.testing.assert_array_equal(ckpt.read()["b"], large["b"])
    data = next(tmp_path.glob("*.data-*"))
    content = bytearray(data.read_bytes())
    for name in ("small", "b"):
        content[content.index(large[name].tobytes()[:40])] ^= 1
    with data.open("r+b") as file:
        file.write(content)
    for name in ("small", "b"):
        with pytest.raises(ChecksumError):
            ckpt[name]
        with pytest.raises(ChecksumError):
            ckpt.read([name])
