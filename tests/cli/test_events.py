"""``ckptfmt events`` as its users see it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.cli.curves import ASCII_BLOCKS, BLOCKS, MAX_POINTS, sparkline, thinned
from ckptfmt.cli.runs import gaps, restarts
from tests.cli.running import COMMAND, environment, on_terminal, run, run_json
from tests.support.event_log import EVENTS, VERSION, frame, scalar, tensor_scalar, write_events


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for name, make in (("train", scalar), ("eval", tensor_scalar)):
        events = [VERSION, *(make("loss", 1 / (i + 1), 10 * i, 100.0 + i) for i in range(40))]
        events.append(scalar("odd\x1b[2J", 2.5, 7))
        write_events(tmp_path / "logs" / name / "events.out.tfevents.1.h", events)
    return tmp_path / "logs"


def test_runs_and_tags_are_listed(logs: Path) -> None:
    result = run("events", logs)
    assert result.exit_code == 0
    assert [line.split("\t")[:6] for line in result.stdout.splitlines()] == [
        ["eval", "loss", "scalars", "40", "0", "390"],
        ["eval", "odd\\x1b[2J", "scalars", "1", "7", "7"],
        ["train", "loss", "scalars", "40", "0", "390"],
        ["train", "odd\\x1b[2J", "scalars", "1", "7", "7"],
    ]
    assert result.stderr.splitlines() == ["eval: 1 file, 42 events", "train: 1 file, 42 events"]


def test_values_of_a_tag(logs: Path) -> None:
    lines = run("events", logs / "train", "loss").stdout.splitlines()
    assert lines[0] == ".\tloss\t0\t100.0\t1.0"
    assert len(lines) == 40
    assert len(run("events", logs, "lo*").stdout.splitlines()) == 80


def test_json_has_it_all(logs: Path) -> None:
    document = run_json("events", logs / "train", "loss")
    (found,) = document["tags"]
    assert found["steps"] == [10 * i for i in range(40)]
    assert found["values"] == [float(np.float32(1 / (i + 1))) for i in range(40)]
    assert (found["first_step"], found["last_step"], found["count"]) == (0, 390, 40)
    (events,) = document["runs"]
    assert (events["events"], events["damage"], events["incomplete"]) == (42, [], {})
    document = run_json("events", EVENTS)
    assert [each["run"] for each in document["runs"]] == ["restarted", "tf1", "tf2"]
    assert document["runs"][2]["hparams"]["values"]["units"] == 16.0
    assert document["runs"][1]["meta_graphs"] == 2
    assert "steps" not in document["tags"][0]


def test_what_is_not_there(logs: Path, tmp_path: Path) -> None:
    result = run("events", logs, "los")
    assert (result.exit_code, result.stderr) == (4, f"ckptfmt: {logs}: no tag 'los'; did you mean 'loss'?\n")
    assert run("events", tmp_path / "nothing").exit_code == 4
    (tmp_path / "empty").mkdir()
    assert "no event file in this directory or below" in run("events", tmp_path / "empty").stderr
    (tmp_path / "text").write_text("this is text, and not a log of events")
    result = run("events", tmp_path / "text")
    assert (result.exit_code, "a text file, not a TensorBoard event file" in result.stderr) == (3, True)


def test_damage_is_told_with_its_place(logs: Path) -> None:
    path = logs / "train" / "events.out.tfevents.1.h"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content + b"\0" * 5)
    result = run("events", logs / "train", "loss")
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 39
    assert "the last event is not all there (5 B of it)" in result.stderr
    assert "record checksum mismatch" in result.stderr
    assert "bytes skipped" in result.stderr
    document = run_json("events", logs / "train", code=3)
    (damage,) = document["runs"][0]["damage"]
    assert damage["error"]["type"] == "ChecksumError"
    assert run("events", logs / "train", "--strict").exit_code == 3


def test_export(logs: Path, tmp_path: Path) -> None:
    target = tmp_path / "run.csv"
    result = run("events", logs / "train", "loss", "--export", target)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{target}: 40 scalars written\n"
    assert target.read_text().splitlines()[:2] == ["tag,step,wall_time,value", "loss,0,100.0,1.0"]
    assert run("events", logs, "--export", target).exit_code == 2
    assert run("events", logs, "--export", target, "--force", "--wide").exit_code == 0
    assert target.read_text().splitlines()[0] == "run,step,loss,odd\x1b[2J"
    assert run("events", logs, "--export", tmp_path / "run.xlsx").exit_code == 2


def test_export_to_parquet(logs: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    assert run("events", logs, "--export", tmp_path / "run.parquet").exit_code == 0
    assert parquet.read_table(tmp_path / "run.parquet").num_rows == 82


@pytest.mark.parametrize(
    ("suffix", "begin"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".html", b"<!doctype html>")]
)
def test_plots(logs: Path, tmp_path: Path, suffix: str, begin: bytes) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    target = tmp_path / f"curves{suffix}"
    result = run("events", logs, "--plot", target)
    assert (result.exit_code, result.stderr) == (0, f"{target}: 4 curves drawn\n")
    assert target.read_bytes().startswith(begin)
    assert run("events", logs, "--plot", target).exit_code == 2
    assert run("events", logs, "--plot", tmp_path / "x.pdf").exit_code == 2


def test_images_are_written(tmp_path: Path) -> None:
    for case, count in (("tf1", 10), ("tf2", 10)):
        result = run("events", EVENTS / case, "--images", tmp_path / case)
        assert (result.exit_code, result.stderr) == (0, f"{tmp_path / case}: {count} images written\n")
        files = sorted((tmp_path / case).iterdir())
        assert len(files) == count
        assert all(file.suffix == ".png" and file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert files[0].name == "pictures_00000_step0_0.png"


def test_a_tag_cannot_lead_out_of_the_directory(tmp_path: Path) -> None:
    event = ckptfmt.open_events(EVENTS / "tf1")
    data = event.images["pictures/image/0"][0][0].data
    made = scalar("x", 0, 1)
    for tag in ("../../x", "..", "/etc/x", "a/b", "a_b"):
        value = made.summary.value.add(tag=tag)
        value.image.encoded_image_string = data
    write_events(tmp_path / "e.tfevents", [VERSION, made])
    result = run("events", tmp_path / "e.tfevents", "--images", tmp_path / "a" / "b")
    assert result.exit_code == 0
    assert len(list((tmp_path / "a" / "b").iterdir())) == 5
    assert {path.name for path in tmp_path.iterdir()} == {"e.tfevents", "a"}


def test_following_shows_what_is_written(logs: Path) -> None:
    path = logs / "train" / "events.out.tfevents.1.h"
    command = [
        *COMMAND,
        "events",
        str(path),
        "loss",
        "--follow",
        "--poll",
        "0.01",
        "--timeout",
        "20",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as process:
        assert process.stdout is not None
        for _ in range(40):
            assert json.loads(process.stdout.readline())["tag"] == "loss"
        with path.open("ab") as file:
            file.write(frame(scalar("loss", float("nan"), 400).SerializeToString()))
        assert json.loads(process.stdout.readline()) == {
            "tag": "loss",
            "step": 400,
            "wall_time": 0.0,
            "value": "NaN",
        }
        process.terminate()
    assert run("events", path, "--follow", "--timeout", "0").stdout.count("\n") == 42
    assert run("events", logs, "--follow").exit_code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_on_a_terminal(logs: Path) -> None:
    code, shown = on_terminal("events", logs / "train")
    assert code == 0
    assert "0 … 390" in shown
    code, shown = on_terminal("events", logs / "train", "loss")
    assert "█" in shown
    assert "… 10 before these" in shown
    assert "last 0.025" in shown


def test_sparklines() -> None:
    assert sparkline(np.arange(8)) == BLOCKS
    assert sparkline(np.arange(8), ASCII_BLOCKS) == ASCII_BLOCKS
    assert sparkline(np.array([])) == ""
    assert sparkline(np.array([1.0, np.nan, 1.0])) == f"{BLOCKS[0]} {BLOCKS[0]}"
    assert sparkline(np.array([-1e308, 1e308])) == f"{BLOCKS[0]}{BLOCKS[-1]}"
    assert len(sparkline(np.arange(1000))) == 60
    assert sparkline(np.full(3, np.inf)) == "   "


def test_long_curves_are_drawn_with_their_peaks() -> None:
    values = np.zeros(100_000)
    values[50_001], values[7] = 9, -9
    steps, shown = thinned(np.arange(100_000), values)
    assert len(steps) <= MAX_POINTS
    assert {50_001, 7} <= set(steps.tolist())
    assert (shown.max(), shown.min()) == (9, -9)


def test_gaps_and_restarts() -> None:
    assert gaps(np.array([0, 10, 20, 50, 60])) == [[20, 50]]
    assert gaps(np.array([0, 10])) == []
    assert restarts(np.array([0, 1, 2, 1, 2])) == 1
