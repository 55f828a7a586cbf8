"""Partial restores, and their reports."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest

from ckptfmt import Checkpoint, RestoreReport, errors


def test_a_restore_attaches_the_report(ckpt: Checkpoint) -> None:
    restored = ckpt.restore(["b/w", "no", "a/b", "neither"])
    assert list(restored) == ["b/w", "a/b"]
    report = restored.report
    assert isinstance(report, RestoreReport)
    assert dict(report.matched) == {"b/w": "b/w", "a/b": "a/b"}
    assert report.missing == ["no", "neither"]
    assert set(report.unused) == set(ckpt) - {"b/w", "a/b"}
    assert not report.restorable
    with pytest.raises(AssertionError, match=r"2 missing.*'no', 'neither'"):
        report.assert_existing_objects_matched()


def test_a_restore_reports_what_is_unused(ckpt: Checkpoint) -> None:
    report = ckpt.restore(["b/w"]).report
    report.assert_existing_objects_matched()
    with pytest.raises(errors.NotConsumedError, match="8 unused"):
        report.assert_consumed()
    ckpt.restore().report.assert_consumed()


def test_what_is_left_out_is_an_error_that_names_the_checkpoint(ckpt: Checkpoint) -> None:
    for tensors in (ckpt, ckpt.select("b/*")):
        report = tensors.restore(["no"]).report
        for check in (report.assert_consumed, report.assert_existing_objects_matched):
            with pytest.raises(errors.NotConsumedError) as caught:
                check()
            assert caught.value.file == ckpt.prefix
        # Which checkpoint it was is no part of what matched.
        assert dataclasses.replace(report, file=None) == report
    assert RestoreReport({}, ["no"]).file is None


def test_read_with_missing_warns_and_is_a_restore(ckpt: Checkpoint) -> None:
    with pytest.warns(DeprecationWarning, match=r"is now restore\(\)"):
        restored: Any = ckpt.read(["b/w", "no"], missing="skip")
    assert (list(restored), restored.report.missing) == (["b/w"], ["no"])
    with (
        pytest.warns(DeprecationWarning, match="restore"),
        pytest.raises(errors.TensorNotFoundError) as caught,
    ):
        ckpt.read(["b/w", "no", "neither"], missing="error")
    assert caught.value.names == ("no", "neither")
    with pytest.raises(ValueError, match="missing"):
        ckpt.read(["b/w"], missing="ignore")  # type: ignore[arg-type]


def test_read_without_missing_is_a_plain_dictionary(ckpt: Checkpoint) -> None:
    assert type(ckpt.read(["b/w"])) is dict


def test_many_arrays_to_fill_for_missing_tensors_are_checked_in_time(ckpt: Checkpoint) -> None:
    array = np.zeros(1, np.float32)
    missing = {f"missing/{number}": array for number in range(200_000)}
    start = time.monotonic()
    restored = ckpt.restore(missing, out=missing)
    assert (len(restored), len(restored.report.missing)) == (0, len(missing))
    assert time.monotonic() - start < 60  # a second here, minutes if each were looked up in a list
