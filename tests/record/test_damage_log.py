"""What is reported of damage, and how much of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt import Damage
from ckptfmt.errors import CorruptError, DamageWarning
from ckptfmt.record import damage as damage_module
from ckptfmt.record.damage import DamageLog
from tests.support.records import frame, write

ERROR = CorruptError("broken", file="r", offset=7)


def noted(log: DamageLog) -> list[tuple[int, int]]:
    return [(damage.offset, damage.skipped) for damage in log.stretches]


def test_a_stretch_is_noted_with_a_warning() -> None:
    log = DamageLog("r")
    assert not log.is_damaged
    with pytest.warns(DamageWarning, match="^r @0x7: broken: 5 bytes skipped$"):
        log.note(7, 5, ERROR)
    assert log.is_damaged
    assert log.stretches == [Damage("r", 7, 5, ERROR)]


def test_a_callback_gets_every_stretch_in_place_of_warnings() -> None:
    reported: list[Damage] = []
    log = DamageLog("r", reported.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for offset in range(100):
            log.note(offset, 1, ERROR)
        log.report_rest()
    assert reported == log.stretches
    assert len(reported) == 100


def test_an_open_stretch_is_reported_once_and_replaced_as_it_grows() -> None:
    reported: list[Damage] = []
    log = DamageLog("r", reported.append)
    log.note(7, 5, ERROR, is_open=True)
    log.note(7, 50, ERROR, is_open=True)
    log.note(7, 60, ERROR)
    log.note(80, 1, ERROR)
    assert noted(log) == [(7, 60), (80, 1)]
    assert [damage.skipped for damage in reported] == [5, 1]


def test_an_open_stretch_that_was_closed_stays_as_it_is() -> None:
    log = DamageLog("r", lambda _: None)
    log.note(7, 5, ERROR, is_open=True)
    log.close()
    log.note(12, 1, ERROR)
    assert noted(log) == [(7, 5), (12, 1)]


def test_a_stretch_is_noted_once_though_it_is_read_twice() -> None:
    log = DamageLog("r", lambda _: None)
    for _ in range(2):
        log.note(7, 5, ERROR)
        log.note(20, 5, ERROR)
    assert noted(log) == [(7, 5), (20, 5)]


def test_a_file_that_is_read_again_is_noted_again() -> None:
    log = DamageLog("r", lambda _: None)
    log.note(7, 5, ERROR)
    log.begin()
    assert not log.is_damaged
    log.note(3, 1, ERROR)
    assert noted(log) == [(7, 5), (3, 1)]
    stretches = log.stretches
    log.clear()
    log.note(7, 5, ERROR)
    assert noted(log) == [(7, 5)]
    assert log.stretches is stretches


def test_warnings_have_a_bound_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage_module, "MAX_WARNINGS", 2)
    log = DamageLog("r")
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        for offset in range(5):
            log.note(offset, 1, ERROR)
        log.report_rest()
        log.report_rest()
    assert len(reported) == 3
    assert str(reported[-1].message) == "r: 3 further stretches were skipped"


def test_the_list_has_a_bound_and_no_byte_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage_module, "MAX_DAMAGE", 3)
    log = DamageLog("r", lambda _: None)
    for offset in range(10):
        log.note(offset, 10, ERROR)
    assert len(log.stretches) == 3
    assert sum(damage.skipped for damage in log.stretches) == 100
    assert log.stretches[-1].offset == 2
    assert "first of 8 damaged stretches" in str(log.stretches[-1])


# --- callbacks of users ------------------------------------------------------------------------------------

DAMAGED = frame(b"first") + b"\xee" * 20 + frame(b"second") + b"\xee" * 30


def test_open_records_calls_back_instead_of_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "r", DAMAGED)
    reported: list[Damage] = []
    records = ckptfmt.open_records(path, on_damage=reported.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [record.data for record in records] == [b"first", b"second"]
        assert reported == records.damage
        assert [damage.skipped for damage in reported] == [20, 30]
        records.scan()
    assert len(reported) == 4


def test_follow_takes_a_callback_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "r", DAMAGED)
    reported: list[Damage] = []
    others: list[Damage] = []
    records = ckptfmt.open_records([path, path], on_damage=others.append)
    assert len(list(records.follow(timeout=0, on_damage=reported.append))) == 4
    assert [damage.skipped for damage in reported] == [20, 30, 20, 30]
    assert others == []
    assert len(list(records.follow(timeout=0))) == 4
    assert len(others) == 4


def test_an_exception_of_the_callback_ends_the_iteration(tmp_path: Path) -> None:
    def refuse(damage: Damage) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(ckptfmt.open_records(write(tmp_path / "r", DAMAGED), on_damage=refuse))
