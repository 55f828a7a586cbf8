"""``ckptfmt events`` as its users see it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.cli.render import progress
from ckptfmt.cli.render.curves import ASCII_BLOCKS, BLOCKS, MAX_POINTS, sparkline, thinned
from ckptfmt.cli.verbs.events.steps import gaps, restarts
from ckptfmt.errors import NameNotFoundError, UnsupportedError
from ckptfmt.proto import messages
from ckptfmt.tabular.write import FORMATS
from tests.support.command_line import COMMAND, environment, on_terminal, run, run_json
from tests.support.event_log import EVENTS, VERSION, scalar, tensor_event, tensor_scalar, write_events
from tests.support.records import frame


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


def test_json_has_everything_of_a_run(logs: Path) -> None:
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


def test_missing_paths_and_tags(logs: Path, tmp_path: Path) -> None:
    result = run("events", logs, "los")
    assert result.exit_code == 4
    assert result.stderr == f"ckptfmt: {logs}: no tag named 'los'; did you mean 'loss'?\n"
    assert run("events", tmp_path / "nothing").exit_code == 4
    (tmp_path / "empty").mkdir()
    assert "no event file in this directory or below" in run("events", tmp_path / "empty").stderr
    (tmp_path / "text").write_text("this is text, and not a log of events")
    result = run("events", tmp_path / "text")
    assert (result.exit_code, "a text file, not a TensorBoard event file" in result.stderr) == (3, True)


def test_damage_is_reported_with_its_place(logs: Path) -> None:
    path = logs / "train" / "events.out.tfevents.1.h"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content + b"\0" * 5)
    result = run("events", logs / "train", "loss")
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 39
    assert "the last event is incomplete (5 B)" in result.stderr
    assert "record: checksum mismatch" in result.stderr
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


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no /dev/stdout here")
@pytest.mark.parametrize("options", [(), ("--overwrite",)], ids=str)
def test_a_link_to_standard_output_takes_a_table(
    logs: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """What the shell has redirected to the file is kept, and what comes after the table too."""
    link, out = tmp_path / "so.csv", tmp_path / "out.txt"
    link.symlink_to("/dev/stdout")
    command = [*COMMAND, "events", str(logs / "train"), "loss", "--export", str(link), *options]
    script = '{ echo a; "$@"; echo z; } > "$0"'
    subprocess.run(["sh", "-c", script, str(out), *command], env=environment(), check=True, timeout=60)
    lines = out.read_text().splitlines()
    assert (lines[:3], lines[-1]) == (["a", "tag,step,wall_time,value", "loss,0,100.0,1.0"], "z")
    assert len(lines) == 43
    assert link.is_symlink()


def test_the_help_names_every_format_of_tables() -> None:
    help_text = run("events", "--help").output
    assert all(suffix in help_text for suffix in FORMATS)


def test_outputs_are_checked_before_anything_is_written(logs: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    (tmp_path / "out").mkdir()
    table, plot, images = (tmp_path / "out" / name for name in ("x.csv", "x.png", "images"))
    all_three = ("--export", table, "--plot", plot, "--images", images)
    for existing, code in ((plot, 2), (images, 2), (table, 2)):
        existing.write_text("mine")
        result = run("events", logs, *all_three)
        assert (result.exit_code, "exists" in result.stderr) == (code, True)
        assert str(existing) in result.stderr
        assert [path.name for path in (tmp_path / "out").iterdir()] == [existing.name]
        existing.unlink()
    nowhere = tmp_path / "no" / "x.png"
    result = run("events", logs, "--export", table, "--plot", nowhere)
    assert (result.exit_code, result.stderr) == (4, f"ckptfmt: {nowhere}: No such file or directory\n")
    assert not table.exists()


def test_nothing_is_written_if_a_package_is_missing(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    result = run("events", logs, "--export", tmp_path / "x.csv", "--plot", tmp_path / "x.png")
    assert (result.exit_code, "ckptfmt[plot]" in result.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


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


@pytest.mark.filterwarnings("error")
def test_curves_are_named_as_long_as_they_have_room(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    names = ["_hidden", "損失", "a$b$", "x" * 500]
    for count in (0, 100):
        tags = [*names, *(f"layer{i}" for i in range(count))]
        events = [VERSION, *(scalar(tag, step, step) for tag in tags for step in (0, 1, 2))]
        events.append(scalar("_hidden", float("inf"), 3))
        path = write_events(tmp_path / f"{count}.tfevents", events)
        result = run("events", path, "--plot", tmp_path / f"{count}.svg")
        assert result.stderr == f"{tmp_path / f'{count}.svg'}: {len(tags)} curves drawn\n"
        drawn = (tmp_path / f"{count}.svg").read_text(encoding="utf-8")
        assert "<!-- _hidden -->" in drawn
        assert f"<!-- {'x' * 30}…{'x' * 30} -->" in drawn
        assert ("<!-- … 84 more -->" in drawn) == bool(count)


def test_a_plot_of_nothing_is_an_error(tmp_path: Path) -> None:
    target = tmp_path / "x.svg"
    bad = [scalar("bad", value, 1) for value in (np.nan, np.inf)]
    for events, what in (
        ([], "no scalars"),
        ([tensor_event("notes", ["hello"], "text")], "no scalars, only 1 text tag"),
        (bad, "none of the scalars is a finite number"),
    ):
        path = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, *events])
        result = run("events", path, "--plot", target)
        assert (result.exit_code, result.stderr) == (4, f"ckptfmt: {path}: nothing to draw: {what}\n")
        assert not target.exists()


def test_a_single_value_is_drawn_as_a_point(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for count in (1, 2):
        events = [VERSION, *(scalar("loss", 0.5, step) for step in range(count))]
        path = write_events(tmp_path / f"{count}.tfevents", events)
        assert run("events", path, "--plot", tmp_path / f"{count}.svg").exit_code == 0
    one, line = ((tmp_path / f"{count}.svg").read_text(encoding="utf-8") for count in (1, 2))
    assert "<g clip-path=" in one  # a marker
    assert "<g clip-path=" not in line


def test_a_plot_is_replaced_when_it_is_whole(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    target = tmp_path / "curves.png"
    target.write_text("mine")

    def fail(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert run("events", logs, "--plot", target, "--overwrite").exit_code == 4
    assert target.read_text() == "mine"
    assert run("events", logs, "--plot", target, "--overwrite").exit_code == 0
    assert target.read_bytes().startswith(b"\x89PNG")


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


def test_without_images_no_directory_is_made(tmp_path: Path) -> None:
    write_events(tmp_path / "e.tfevents", [VERSION, scalar("x", 0, 1)])
    result = run("events", tmp_path / "e.tfevents", "--images", tmp_path / "a")
    assert (result.exit_code, not (tmp_path / "a").exists()) == (0, True)


def image_events(*tags: str) -> list[Any]:
    events: list[Any] = [VERSION]
    for tag in tags:
        events.append(scalar("x", 0, 0))
        events[-1].summary.value[0].tag = tag
        events[-1].summary.value[0].image.encoded_image_string = b"\x89PNG\r\n\x1a\n"
    return events


def test_images_of_any_tags_have_names(tmp_path: Path) -> None:
    tags = ["図" * 150, "図" * 151, *("!" * count for count in range(1, 300)), "A", "a", "__2", "\x00"]
    path = write_events(tmp_path / "e.tfevents", image_events(*tags))
    result = run("events", path, "--images", tmp_path / "images")
    assert (result.exit_code, result.stderr) == (0, f"{tmp_path / 'images'}: {len(tags)} images written\n")
    names = [file.name for file in (tmp_path / "images").iterdir()]
    assert len({name.casefold() for name in names}) == len(tags)
    assert all(len(name.encode()) < 200 for name in names)


def test_existing_images_are_left_alone(tmp_path: Path) -> None:
    path = write_events(tmp_path / "e.tfevents", image_events("a", "b"))
    images = tmp_path / "images"
    images.mkdir()
    (images / "b_00000_step0_0.png").write_text("mine")
    result = run("events", path, "--images", images)
    assert (result.exit_code, "exists; pass --overwrite" in result.stderr) == (2, True)
    assert [file.name for file in images.iterdir()] == ["b_00000_step0_0.png"]
    assert (images / "b_00000_step0_0.png").read_text() == "mine"
    assert run("events", path, "--images", images, "--force").exit_code == 0
    assert (images / "b_00000_step0_0.png").read_bytes().startswith(b"\x89PNG")


def test_an_image_that_appears_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_events(tmp_path / "e.tfevents", image_events("a"))
    image = tmp_path / "images" / "a_00000_step0_0.png"
    make = os.makedirs

    def appear(*args: Any, **options: Any) -> None:
        make(*args, **options)
        image.write_text("mine")

    monkeypatch.setattr(os, "makedirs", appear)
    result = run("events", path, "--images", image.parent)
    assert (result.exit_code, result.stderr) == (
        2,
        f"ckptfmt: {image}: file exists; pass --overwrite to replace it\n",
    )
    assert image.read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_written_through(tmp_path: Path) -> None:
    path = write_events(tmp_path / "e.tfevents", image_events("a"))
    images = tmp_path / "images"
    images.mkdir()
    (images / "a_00000_step0_0.png").symlink_to(tmp_path / "victim")
    assert run("events", path, "--images", images).exit_code == 2
    assert run("events", path, "--images", images, "--overwrite").exit_code == 0
    assert (images / "a_00000_step0_0.png").is_symlink()
    assert (tmp_path / "victim").read_bytes().startswith(b"\x89PNG")


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
            "wall_time": 1.5,
            "value": "NaN",
        }
        process.terminate()
    assert run("events", path, "--follow", "--timeout", "0").stdout.count("\n") == 42
    assert run("events", logs, "--follow").exit_code == 2


def test_following_reports_damage(logs: Path) -> None:
    path = logs / "train" / "events.out.tfevents.1.h"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    result = run("events", path, "loss", "--follow", "--timeout", "0")
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 39
    assert result.stderr.count(f"ckptfmt: {path} @0x") == 1
    assert "record: checksum mismatch" in result.stderr
    assert run("events", path, "--follow", "--timeout", "0", "--strict").exit_code == 3


def test_following_shows_what_the_listing_calls_scalars(tmp_path: Path) -> None:
    events = [VERSION, scalar("layer[0]/w", 1, 0), tensor_scalar("loss", 2, 1)]
    # Later values of a tag need not name their plugin, and may name another one.
    events.append(tensor_scalar("loss", 3, 2))
    events[-1].summary.value[0].ClearField("metadata")
    for tag in ("other", "loss"):
        events.append(tensor_scalar(tag, 4, 3))
        events[-1].summary.value[0].metadata.plugin_data.plugin_name = "mine"
    path = write_events(tmp_path / "e.tfevents", events)
    shown = run("events", path, "--follow", "--timeout", "0").stdout.splitlines()
    assert [line.split("\t")[0] for line in shown] == ["layer[0]/w", "loss", "loss"]
    assert run("events", path, "layer[0]/w", "--follow", "--timeout", "0").stdout.splitlines() == shown[:1]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--follow", "--export", "x.csv"), "--follow cannot be combined with"),
        (("--follow", "--plot", "x.png"), "--follow cannot be combined with"),
        (("--follow", "--images", "x"), "--follow cannot be combined with"),
        (("--wide", "--plot", "x.png"), "--wide requires --export"),
        (("--timeout", "1"), "--timeout requires --follow"),
        (("--poll", "1"), "--poll requires --follow"),
        (("--overwrite",), "--overwrite requires --export, --plot or --images"),
        (("--force", "--follow"), "--overwrite requires --export, --plot or --images"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_options_that_would_do_nothing_are_refused(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("events", logs / "train", *args)
    assert (result.exit_code, message in result.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_tag_with_brackets_is_shown_and_written(tmp_path: Path) -> None:
    path = write_events(tmp_path / "e.tfevents", [VERSION, *(scalar("layer[0]/w", i, i) for i in range(5))])
    assert len(run("events", path, "layer[0]/w").stdout.splitlines()) == 5
    result = run("events", path, "layer[0]/w", "--export", tmp_path / "x.csv")
    assert result.stderr == f"{tmp_path / 'x.csv'}: 5 scalars written\n"
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 6


def test_each_pattern_matches_something(logs: Path, tmp_path: Path) -> None:
    result = run("events", logs, "lo*", "los", "--export", tmp_path / "x.csv")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == f"ckptfmt: {logs}: no tag named 'los'; did you mean 'loss'?\n"
    for option, target in (("--export", "x.csv"), ("--plot", "x.png")):
        result = run("events", EVENTS / "tf2", "weights", option, tmp_path / target)
        assert (result.exit_code, "no scalar tag named 'weights'" in result.stderr) == (4, True)
    result = run("events", logs, "loss", "--images", tmp_path / "images")
    assert (result.exit_code, "no image tag named 'loss'" in result.stderr) == (4, True)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    # Each output takes what it can.
    both = ("--export", tmp_path / "x.csv", "--images", tmp_path / "images")
    assert run("events", EVENTS / "tf2", "loss", "pictures", *both).exit_code == 0


def test_hyperparameters_are_not_tags(logs: Path) -> None:
    result = run("events", EVENTS / "tf2", "_hparams_/session_start_info")
    assert (result.exit_code, "did you mean" in result.stderr) == (4, False)
    assert "_hparams_" not in run("events", EVENTS / "tf2").stdout


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs: one with values that are not what they should be, one that cannot be read, one intact."""
    events = [VERSION, *(scalar("loss", i, i) for i in range(3)), scalar("h", 0, 0)]
    added = events[-1].summary.value[0]
    added.ClearField("simple_value")
    added.metadata.plugin_data.plugin_name = "hparams"
    added.metadata.plugin_data.content = b"\xff\xff\xff"
    added.tag = "_hparams_/session_start_info"
    for step, shape in ((4, (1, 3)), (5, ()), (6, (1, 3))):
        event = tensor_scalar("h", 0, step)
        value = event.summary.value[0]
        value.metadata.plugin_data.plugin_name = "histograms"
        value.tensor.CopyFrom(ckptfmt.to_proto(np.zeros(shape, np.float32)))
        events.append(event)
    write_events(tmp_path / "odd" / "a" / "events.out.tfevents.1.h", events)
    for name in "bc":
        events = [VERSION, scalar("loss", 1, 1)]
        write_events(tmp_path / "odd" / name / "events.out.tfevents.1.h", events)
    gather = ckptfmt.EventLog.gather

    def refused(self: ckptfmt.EventLog, progress: Any = None) -> None:
        if self.path.endswith("b"):
            raise UnsupportedError("not an event file", file=self.path)
        gather(self, progress)

    monkeypatch.setattr(ckptfmt.EventLog, "gather", refused)
    return tmp_path / "odd"


def test_what_cannot_be_read_is_reported_and_the_rest_shown(odd: Path, tmp_path: Path) -> None:
    result = run("events", odd)
    assert result.exit_code == 3
    assert [line.split("\t")[:4] for line in result.stdout.splitlines()] == [
        ["a", "loss", "scalars", "3"],
        ["a", "h", "histograms", "3"],
        ["c", "loss", "scalars", "1"],
    ]
    file_a = odd / "a" / "events.out.tfevents.1.h"
    first, *_, hparams, last = result.stderr.splitlines()
    assert first == f"ckptfmt: {odd / 'b'}: not an event file"
    assert (hparams.startswith(f"ckptfmt: {file_a}"), last) == (True, "c: 1 file, 2 events")
    document = run_json("events", odd, code=3)
    runs = {each["run"]: each for each in document["runs"]}
    assert runs["b"] == {"run": "b", "path": str(odd / "b"), "error": runs["b"]["error"]}
    assert runs["b"]["error"]["type"] == "UnsupportedError"
    assert (runs["a"]["hparams"], runs["a"]["events"], "error" in runs["a"]) == (None, 8, True)
    assert "error" not in runs["c"]
    result = run("events", odd, "--export", tmp_path / "x.csv")
    assert (result.exit_code, len((tmp_path / "x.csv").read_text().splitlines())) == (3, 5)


def test_a_value_that_cannot_be_read_is_reported_and_the_others_shown(odd: Path) -> None:
    result = run("events", odd / "a", "h")
    assert result.exit_code == 3
    assert [line.split("\t")[4].split(" ")[0] for line in result.stdout.splitlines()] == [
        "<Histogram",
        "?",
        "<Histogram",
    ]
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"ckptfmt: {odd / 'a' / 'events.out.tfevents.1.h'}")
    assert run("events", odd / "a", "loss").exit_code == 0


def test_strict_stops_at_what_cannot_be_read(odd: Path) -> None:
    for args in ((odd,), (odd / "a",), (odd / "a", "--json")):
        result = run("events", *args, "--strict")
        assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1 if args != (odd / "a",) else 2)
    assert run("events", odd / "a", "h", "--strict").stdout == ""


def test_mappings_are_asked_for_once(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    scalars = ckptfmt.EventLog.scalars.fget  # type: ignore[attr-defined]

    def counted(self: ckptfmt.EventLog) -> Any:
        nonlocal count
        count += 1
        return scalars(self)

    write_events(logs / "train" / "events.out.tfevents.2.h", [scalar(f"t{i}", 0, 0) for i in range(50)])
    monkeypatch.setattr(ckptfmt.EventLog, "scalars", property(counted))
    assert run("events", logs / "train").exit_code == 0
    assert count == 1


def test_reading_shows_progress(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[int, int]] = []
    monkeypatch.setattr(progress.ProgressBar, "__call__", lambda _, *sizes: done.append(sizes))
    assert run("events", logs).exit_code == 0
    sizes = [path.stat().st_size for path in sorted(logs.glob("*/*"))]
    assert {total for _, total in done} == set(sizes)
    assert {(size, size) for size in sizes} <= set(done)


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


def test_long_curves_are_broken_where_they_are_not_finite() -> None:
    values = np.zeros(100_000)
    values[30_000], values[60_000] = np.inf, np.nan
    values[80_000:] = np.nan
    steps, shown = thinned(np.arange(100_000), values)
    assert len(steps) <= MAX_POINTS
    assert {30_000, 60_000} <= set(steps[~np.isfinite(shown)].tolist())
    assert not np.isfinite(shown[steps >= 80_010]).any()


def test_gaps_and_restarts() -> None:
    assert gaps(np.array([0, 10, 20, 50, 60])) == [[20, 50]]
    assert gaps(np.array([0, 10])) == []
    assert gaps(np.array([0, 10, 20, 40])) == [[20, 40]]
    assert gaps(np.array([0, 10, 20, 34])) == []
    ends = [-(2**63), 0, 1, 2, 3, 2**63 - 1]
    assert gaps(np.array(ends)) == [ends[:2], ends[-2:]]
    assert restarts(np.array([0, 1, 2, 1, 2])) == 1


def test_a_string_that_stands_for_billions_is_shown_by_its_shape(tmp_path: Path) -> None:
    for plugin in ("text", "mine"):
        event = messages.Event(step=1)
        value = event.summary.value.add(tag=plugin)
        value.metadata.plugin_data.plugin_name = plugin
        value.tensor.dtype = messages.DataType.DT_STRING
        value.tensor.tensor_shape.dim.add(size=1 << 33)
        value.tensor.string_val.append(b"a")
        write_events(tmp_path / plugin / "events.out.tfevents.1.h", [VERSION, event])
    result = run("events", tmp_path / "text", "text")
    assert result.exit_code == 3
    assert "8589934592 exceeds the limit" in result.stderr
    assert run("events", tmp_path / "text", "text", "--json").exit_code == 3
    result = run("events", tmp_path / "mine", "mine")
    assert result.exit_code == 0
    assert result.stdout.rstrip().endswith("object[8589934592]")


def test_a_text_is_suggested_by_the_name_that_tensorboard_shows(tmp_path: Path) -> None:
    # PyTorch's and tensorboardX's add_text("notes", …) write the tag "notes/text_summary".
    text = messages.TensorProto(dtype=7, string_val=[b"hello"])
    path = write_events(
        tmp_path / "events.out.tfevents.1.h", [tensor_event("notes/text_summary", text, "text")]
    )
    result = run("events", path, "notes")
    assert result.exit_code == 4
    assert "no tag named 'notes'; did you mean 'notes/text_summary'?" in result.stderr
    with pytest.raises(NameNotFoundError, match="did you mean 'notes/text_summary'"):
        ckptfmt.open_events(path).text["notes"]
