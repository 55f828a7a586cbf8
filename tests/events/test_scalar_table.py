"""Scalars as tables: columns, CSV, JSON Lines, Parquet, Arrow, pandas."""

from __future__ import annotations

import csv
import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import LimitError, MissingDependencyError, NameNotFoundError, NotWritableError
from ckptfmt.events import scalar_table
from ckptfmt.events.scalar_table import write_runs
from ckptfmt.tabular.write import FORMATS
from tests.support.event_log import VERSION, scalar, write_events

NAN = float("nan")


@pytest.fixture
def run(tmp_path: Path) -> ckptfmt.EventLog:
    events = [
        VERSION,
        scalar("train/loss", 0.5, 1, 10),
        scalar("lr", 0.25, 1, 10.5),
        scalar("train/loss", NAN, 2, 11),
        scalar("step", 7, 3, 12),
        scalar("train/loss", float("inf"), 2, 12.5),
        scalar("train/loss", 0.125, 0, 13),
    ]
    return ckptfmt.open_events(write_events(tmp_path / "events.out.tfevents.1.h", events))


LONG = [
    ("train/loss", 1, 10.0, 0.5),
    ("train/loss", 2, 11.0, NAN),
    ("train/loss", 2, 12.5, float("inf")),
    ("train/loss", 0, 13.0, 0.125),
    ("lr", 1, 10.5, 0.25),
    ("step", 3, 12.0, 7.0),
]


def rows(columns: dict[str, Any]) -> list[tuple[Any, ...]]:
    return list(zip(*(column.tolist() for column in columns.values()), strict=True))


def test_long_columns_have_a_row_for_each_scalar(run: ckptfmt.EventLog) -> None:
    columns = run.to_columns()
    assert list(columns) == ["tag", "step", "wall_time", "value"]
    np.testing.assert_equal(rows(columns), LONG)
    np.testing.assert_equal(rows(run.to_columns("train/*")), LONG[:4])


def test_wide_columns_have_a_row_for_each_step(
    run: ckptfmt.EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {
        "step": [0, 1, 2, 3],
        "train/loss": [0.125, 0.5, float("inf"), NAN],
        "lr": [NAN, 0.25, NAN, NAN],
        "step (tag)": [NAN, NAN, NAN, 7],
    }
    for cells in (1 << 20, 7, 1):
        monkeypatch.setattr(scalar_table, "CELLS_AT_ONCE", cells)
        columns = run.to_columns(wide=True)
        np.testing.assert_equal({name: column.tolist() for name, column in columns.items()}, wanted)


def test_csv(run: ckptfmt.EventLog, tmp_path: Path) -> None:
    run.write_scalars(tmp_path / "long.csv")
    with (tmp_path / "long.csv").open(newline="") as file:
        head, *body = csv.reader(file)
    assert head == ["tag", "step", "wall_time", "value"]
    np.testing.assert_equal([(t, int(s), float(w), float(v)) for t, s, w, v in body], LONG)
    run.write_scalars(tmp_path / "wide.csv", wide=True)
    assert (tmp_path / "wide.csv").read_text().splitlines()[:3] == [
        "step,train/loss,lr,step (tag)",
        "0,0.125,,",
        "1,0.5,0.25,",
    ]


def test_json_lines(run: ckptfmt.EventLog, tmp_path: Path) -> None:
    run.write_scalars(tmp_path / "r.jsonl", "train/*")
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert lines[0] == {"tag": "train/loss", "step": 1, "wall_time": 10.0, "value": 0.5}
    assert [line["value"] for line in lines] == [0.5, "NaN", "Infinity", 0.125]
    run.write_scalars(tmp_path / "wide.jsonl", "lr", wide=True)
    assert (tmp_path / "wide.jsonl").read_text() == '{"step": 1, "lr": 0.25}\n'


@pytest.mark.parametrize("chunk", [1 << 16, 2])
def test_arrow_and_parquet(
    run: ckptfmt.EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(scalar_table, "ROWS_AT_ONCE", chunk)
    table = run.to_arrow()
    np.testing.assert_equal([tuple(row.values()) for row in table.to_pylist()], LONG)
    assert table.schema.field("value").type == pyarrow.float32()
    run.write_scalars(tmp_path / "r.parquet")
    np.testing.assert_equal(
        [tuple(row.values()) for row in parquet.read_table(tmp_path / "r.parquet").to_pylist()], LONG
    )
    run.write_scalars(tmp_path / "r.arrow")
    with pyarrow.ipc.open_stream(str(tmp_path / "r.arrow")) as reader:
        np.testing.assert_equal([tuple(row.values()) for row in reader.read_all().to_pylist()], LONG)
    wide = run.to_arrow("train/*", "lr", wide=True).to_pydict()
    assert wide["lr"] == [None, 0.25, None]
    assert wide["train/loss"] == [0.125, 0.5, float("inf")]


def test_pandas(run: ckptfmt.EventLog) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = run.to_pandas()
    assert list(frame.columns) == ["tag", "step", "wall_time", "value"]
    assert frame[frame.tag == "lr"].value.tolist() == [0.25]
    assert run.to_pandas(wide=True).loc[1, "lr"] == 0.25


def test_a_table_of_several_runs_has_a_column_of_their_names(run: ckptfmt.EventLog, tmp_path: Path) -> None:
    write_runs({"a": run, "b": run}, tmp_path / "r.csv", "lr")
    assert (tmp_path / "r.csv").read_text() == (
        "run,tag,step,wall_time,value\na,lr,1,10.5,0.25\nb,lr,1,10.5,0.25\n"
    )


def test_a_pattern_of_several_runs_need_not_match_in_each(tmp_path: Path) -> None:
    runs = {
        name: ckptfmt.open_events(write_events(tmp_path / f"{name}.tfevents", [VERSION, scalar(tag, 1, 0)]))
        for name, tag in (("a", "loss"), ("b", "lr"))
    }
    write_runs(runs, tmp_path / "r.csv", "lr", "l[o]ss", wide=True)
    assert (tmp_path / "r.csv").read_text() == "run,step,loss,lr\na,0,1.0,\nb,0,,1.0\n"
    with pytest.raises(
        NameNotFoundError, match=r"^2 runs: no scalar tag named 'los'; did you mean 'loss'\?$"
    ) as caught:
        write_runs(runs, tmp_path / "new.csv", "lr", "los")
    assert (caught.value.name, caught.value.close_matches) == ("los", ("loss",))
    assert not (tmp_path / "new.csv").exists()


def test_a_tag_is_matched_as_it_is_or_by_a_glob(tmp_path: Path) -> None:
    events = [VERSION, *(scalar(tag, 1, 0) for tag in ("layer[0]/w", "layer0/w", "lr"))]
    run = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events))
    assert run.to_columns("layer[0]/w")["tag"].tolist() == ["layer[0]/w", "layer0/w"]
    assert run.to_columns("layer?0]/w")["tag"].tolist() == ["layer[0]/w"]
    assert len(run.to_columns()["tag"]) == 3


@pytest.mark.parametrize("patterns", [("los",), ("lr", "los"), ("los", "lr")])
def test_a_pattern_that_matches_nothing_is_an_error(
    run: ckptfmt.EventLog, tmp_path: Path, patterns: tuple[str, ...]
) -> None:
    with pytest.raises(NameNotFoundError, match=r"no scalar tag named 'los'") as caught:
        run.to_columns(*patterns)
    assert caught.value.name == "los"
    with pytest.raises(NameNotFoundError):
        run.write_scalars(tmp_path / "r.csv", *patterns)
    assert not (tmp_path / "r.csv").exists()


def test_wide_columns_hold_steps_at_the_ends_of_their_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [-(2**63), 0, 1, 2**63 - 1]
    events = [VERSION, *(scalar("a", i, step) for i, step in enumerate(steps))]
    run = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events))
    for cells in (1 << 20, 2, 1):
        monkeypatch.setattr(scalar_table, "CELLS_AT_ONCE", cells)
        columns = run.to_columns(wide=True)
        assert columns["step"].tolist() == steps
        assert columns["a"].tolist() == [0, 1, 2, 3]


def test_each_wide_column_has_its_own_name(tmp_path: Path) -> None:
    tags = ["step", "step (tag)", "run", "run (tag)", "run (tag) (tag)"]
    events = [VERSION, *(scalar(tag, i, 5) for i, tag in enumerate(tags))]
    run = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events))
    wanted = {
        "step": [5],
        "step (tag) (tag)": [0],
        "step (tag)": [1],
        "run (tag) (tag) (tag)": [2],
        "run (tag)": [3],
        "run (tag) (tag)": [4],
    }
    columns = run.to_columns(wide=True)
    assert {name: column.tolist() for name, column in columns.items()} == wanted
    run.write_scalars(tmp_path / "r.csv", wide=True)
    assert (tmp_path / "r.csv").read_text() == f"{','.join(wanted)}\n5,0.0,1.0,2.0,3.0,4.0\n"
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    assert run.to_arrow(wide=True).to_pydict() == wanted


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    run = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [VERSION]))
    assert {name: column.dtype.name for name, column in run.to_columns().items()} == {
        "tag": "object",
        "step": "int64",
        "wall_time": "float64",
        "value": "float32",
    }
    assert list(run.to_columns(wide=True)) == ["step"]
    run.write_scalars(tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == "tag,step,wall_time,value\n"
    write_runs({"a": run}, tmp_path / "w.csv", wide=True)
    assert (tmp_path / "w.csv").read_text() == "run,step\n"


def test_names_that_are_not_unicode_are_escaped(run: ckptfmt.EventLog, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    write_runs({"a\udcff": run}, tmp_path / "r.parquet", "lr")
    assert parquet.read_table(tmp_path / "r.parquet").to_pydict()["run"] == ["a\\udcff"]


def test_a_file_is_synced_before_it_takes_its_name(
    run: ckptfmt.EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    done: list[str] = []
    sync, link, replace = os.fsync, os.link, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("sync"), sync(number)))
    monkeypatch.setattr(os, "link", lambda old, new: (done.append("name"), link(old, new)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("name"), replace(old, new)))
    for suffix in FORMATS:
        run.write_scalars(tmp_path / f"r{suffix}")
        run.write_scalars(tmp_path / f"r{suffix}", overwrite=True)
    # The file, its name, the directory.
    assert done == ["sync", "name", "sync"] * 8


def test_a_file_is_not_replaced_when_writing_fails(
    run: ckptfmt.EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")

    def fail(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    for suffix in FORMATS:
        path = tmp_path / f"r{suffix}"
        path.write_text("mine")
        with pytest.raises(NotWritableError, match="No space left on device"):
            run.write_scalars(path, overwrite=True)
        assert path.read_text() == "mine"
    assert not list(tmp_path.glob("*.tmp"))


def test_files_that_exist_are_left_alone(run: ckptfmt.EventLog, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    for suffix in FORMATS:
        path = tmp_path / f"r{suffix}"
        path.write_text("mine")
        with pytest.raises(FileExistsError):
            run.write_scalars(path)
        assert path.read_text() == "mine"
        run.write_scalars(path, overwrite=True)
        assert path.read_bytes() != b"mine"
        with pytest.raises(NotWritableError):
            run.write_scalars(tmp_path / "no" / f"r{suffix}")
        with pytest.raises(NotWritableError):
            run.write_scalars(f"{tmp_path}/a\0{suffix}")
    with pytest.raises(ValueError, match=r"got a name ending in '.xlsx', want one of .csv, .jsonl"):
        run.write_scalars(tmp_path / "r.xlsx")
    assert not list(tmp_path.glob("*.tmp"))


def test_no_table_is_made_for_a_file_that_exists(
    run: ckptfmt.EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(scalar_table, "_long_chunks")
    (tmp_path / "r.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="file exists"):
        run.write_scalars(tmp_path / "r.csv")


def test_missing_packages_are_named(run: ckptfmt.EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, extra in (("pyarrow", "arrow"), ("pandas", "pandas")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(
            MissingDependencyError, match=rf"needs {package}: pip install 'ckptfmt\[{extra}\]'"
        ):
            run.to_arrow() if package == "pyarrow" else run.to_pandas()


def test_the_old_name_of_writing_warns(run: ckptfmt.EventLog, tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="EventLog.write is now EventLog.write_scalars"):
        run.write(tmp_path / "r.csv", "lr", wide=True)
    assert (tmp_path / "r.csv").read_text() == "step,lr\n1,0.25\n"


def test_a_wide_table_of_little_more_than_gaps_is_refused(tmp_path: Path) -> None:
    count = 20_000
    events = [scalar(f"tag {number}", 1.0, number) for number in range(count)]
    path = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, *events])
    log = ckptfmt.open_events(path)
    for make in (
        lambda: log.to_columns(wide=True),
        lambda: log.write_scalars(tmp_path / "wide.csv", wide=True),
    ):
        with pytest.raises(LimitError, match="20000 steps and 20000 tags with 20000 scalars") as raised:
            make()
        assert (raised.value.asked, raised.value.limit) == (count**2, 1 << 26)
    assert not (tmp_path / "wide.csv").exists()
    wide = log.to_columns("tag 12*", wide=True)
    assert len(wide) == 1 + sum(str(number).startswith("12") for number in range(count))


def test_a_sparse_wide_table_keeps_its_gaps(tmp_path: Path) -> None:
    count = 3000
    events = [scalar(f"tag {number}", float(number), 10 * number) for number in range(count)]
    path = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, *events])
    wide = ckptfmt.open_events(path).to_columns(wide=True)
    assert wide["step"].tolist() == list(range(0, 10 * count, 10))
    for number in (0, 1, 1234, count - 1):
        column = wide[f"tag {number}"]
        assert column[number] == number
        assert np.isnan(column).sum() == count - 1


def test_many_short_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [scalar(f"tag {number % 700}", float(number), number) for number in range(1000)]
    path = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, *events])
    log = ckptfmt.open_events(path)
    want = sorted(
        ((f"tag {number % 700}", number, float(number)) for number in range(1000)),
        key=lambda row: (int(row[0].split()[1]), row[1]),
    )
    for name, most in (("MAX_KEPT", 3), ("ROWS_JOINED", 1), ("ROWS_JOINED", 7), ("ROWS_AT_ONCE", 1)):
        monkeypatch.setattr(scalar_table, name, most)
        for columns in (log.to_columns(), log.to_columns("tag *")):
            rows = zip(columns["tag"], columns["step"].tolist(), columns["value"].tolist(), strict=True)
            assert list(rows) == want
        wide = log.to_columns(wide=True)
        assert wide["tag 5"][705] == 705
        log.write_scalars(tmp_path / "x.csv", overwrite=True)
        lines = (tmp_path / "x.csv").read_text().splitlines()
        assert lines[1:3] == ["tag 0,0,1.5,0.0", "tag 0,700,1.5,700.0"]
        assert len(lines) == 1001
