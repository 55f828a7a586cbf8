"""The benchmarks run. The numbers are for people to judge, on their own machines.

Every job of every case runs once, on inputs of a few hundred kilobytes, so that none of them rots.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from benchmarks import copy_checkpoint, runner
from benchmarks.case import Case, Command, Job, Target, missing, missing_module, module_of
from benchmarks.cases import CASES
from benchmarks.comparison import LIBRARIES, TASKS
from benchmarks.comparison import measure as measure_cell
from benchmarks.inputs import INPUTS, METRICS, SIZES, build, find_input, input_problem
from benchmarks.layout import SHIPPED
from benchmarks.measure import warm
from benchmarks.memory import cached_share, drop_pages, load_pages
from benchmarks.parity.result import Check, Report, same
from benchmarks.report import is_reached, markdown, measured
from benchmarks.restore_parity import markdown as parity_page
from benchmarks.runner import MODES, CaseResult, Outcome, Plan
from benchmarks.scaling import chosen

ROOT = Path(__file__).parent.parent
SMALL = {"tensors": 1_000, "bytes": 1 << 20, "shards": 16, "threads": 2}
CURVES = {f"{point.axis} {point.x}: {point.operation}": point.case for point in chosen(SMALL, SMALL)}
ALL = CASES | CURVES
JOBS = [(name, library) for name, case in ALL.items() for library in case.jobs]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def needs(request: pytest.FixtureRequest, module: str) -> None:
    """Skip the test if a module is not installed."""
    if module == "tensorflow":
        request.getfixturevalue("tensorflow")  # imports it as the other tests do, or skips
    missing = missing_module(module)
    if missing is not None:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[pytest.FixtureRequest, str], Path]:
    """Return a function that writes an input at the tiny size, once, and returns the folder of inputs."""
    folder = tmp_path_factory.mktemp("inputs")

    def prepare(request: pytest.FixtureRequest, name: str) -> Path:
        if name != SHIPPED:
            for module in find_input(name).needs:
                needs(request, module)
            assert input_problem(name) is None
            build(folder, name, "tiny")
        return folder

    return prepare


@pytest.mark.parametrize(("case", "library"), JOBS, ids=lambda part: part)
def test_every_job_of_every_case_runs(
    case: str,
    library: str,
    request: pytest.FixtureRequest,
    prepared: Callable[[pytest.FixtureRequest, str], Path],
) -> None:
    needs(request, module_of(library))
    if (reason := missing(ALL[case], library)) is not None:
        pytest.skip(reason)
    for name in ALL[case].inputs:
        inputs = prepared(request, name)
    job = ALL[case].jobs[library]
    if isinstance(job, Command):
        command = [sys.executable, *job.arguments(inputs)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
    else:
        assert job.run(job.ready(inputs)) is not None


def test_every_case_starts_with_ckptfmt_and_its_targets_name_peers() -> None:
    for name, case in CASES.items():
        assert next(iter(case.jobs)) == "ckptfmt", name
        assert set(case.inputs) <= {*INPUTS, SHIPPED}, name
        for target in case.targets:
            assert (target.peer is None) == (target.figure not in ("times", "rate")), name
            assert target.peer is None or target.peer in case.jobs, name
        for job in case.jobs.values():
            assert not isinstance(job, Job) or job.input is None or job.input in case.inputs, name


def test_targets_are_lower_bounds_of_speed_and_upper_bounds_of_memory() -> None:
    assert is_reached(Target("times", 9, "tensorflow"), 9.1)
    assert not is_reached(Target("times", 9, "tensorflow"), 8.9)
    assert is_reached(Target("private", 64 << 20), 1 << 20)
    assert not is_reached(Target("read", 1 << 20), 2 << 20)
    assert not is_reached(Target("growth", 2.2), 2.3)
    assert is_reached(Target("speed", 1e9), 2e9)


def test_a_speed_is_stated_in_bytes_per_second() -> None:
    case = Case(("records",), {"ckptfmt": Job(len)}, (Target("speed", 1e9),))
    result = CaseResult(
        {"ckptfmt": Outcome({"warm": [{"seconds": [0.5, 2.0, 1.0]}]})}, nbytes={"records": 3 << 30}
    )
    assert measured(case.targets[0], case, result) == 3 << 30
    page = markdown({}, {"name": (case, result)})
    assert "| bytes per second | wanted ≥ 1 GB/s | 3.22 GB/s | yes |" in page
    assert measured(case.targets[0], case, CaseResult({"ckptfmt": Outcome()})) is None


def test_slow_jobs_run_once_in_each_mode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs: list[object] = []
    assert len(warm(Job(runs.append), tmp_path, 3)["seconds"]) == 3
    assert len(runs) == 4
    assert len(warm(Job(runs.append, is_slow=True), tmp_path, 3)["seconds"]) == 1
    assert len(runs) == 5
    turns: list[tuple[str, str]] = []

    def measure(plan: Plan, name: str, case: Case, library: str, mode: str) -> dict[str, object]:
        turns.append((library, mode))
        return {"seconds": [1.0]}

    monkeypatch.setattr(runner, "_measure", measure)
    case = Case(("large",), {"ckptfmt": Job(len), "python: slow": Job(len, is_slow=True)})
    result = runner.run_case(Plan("", tmp_path, 3, 2), "name", case)
    assert result.libraries["ckptfmt"].seconds("warm") == [1.0] * 3
    assert result.libraries["python: slow"].seconds("warm") == [1.0]
    assert [turns.count(("python: slow", mode)) for mode in MODES] == [1, 1, 1]


SCALARS = CASES["events: 20,000 scalars into columns"]


@pytest.mark.parametrize(
    "library",
    [library for library in SCALARS.jobs if "events only" not in library and "tbparse" not in library],
)
def test_other_readers_of_event_files_do_the_same_work(
    library: str,
    request: pytest.FixtureRequest,
    prepared: Callable[[pytest.FixtureRequest, str], Path],
) -> None:
    needs(request, module_of(library))
    inputs = prepared(request, "scalars")
    ours, job = SCALARS.jobs["ckptfmt"], SCALARS.jobs[library]
    assert isinstance(ours, Job)
    assert isinstance(job, Job)
    expected: Any = ours.run(ours.ready(inputs))
    found: Any = job.run(job.ready(inputs))
    assert set(found) == set(expected) == set(METRICS)
    for tag, columns in expected.items():
        assert len(columns[0]) == SIZES["tiny"].scalars // len(METRICS)
        for mine, theirs in zip(columns, found[tag], strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_inputs_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("large", "many", "runs", "records"):
        for folder in ("a", "b"):
            build(tmp_path / folder, name, "tiny")
        files = sorted(path for path in (tmp_path / "a" / name).rglob("*") if path.is_file())
        assert len(files) > 1
        for path in files:
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
        written = (tmp_path / "a" / name / "input.json").stat().st_mtime_ns
        build(tmp_path / "a", name, "tiny")
        assert (tmp_path / "a" / name / "input.json").stat().st_mtime_ns == written


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    environ = os.environ | {"PYTHONUTF8": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports what is in its page cache")
def test_loaded_files_are_in_the_page_cache(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3_000_001))
    drop_pages([path])
    load_pages([path])
    assert cached_share([path]) == 1


def test_a_run_reports_medians_memory_and_targets(tmp_path: Path) -> None:
    output = tmp_path / "run"
    arguments = ["--size", "tiny", "--rounds", "1", "--runs", "1", "--output", str(output)]
    done = run("benchmarks", *arguments, "--case", "large: read all, verified, into warm buffers")
    assert done.returncode == 0, done.stderr
    document = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert document["environment"]["device"] == "CPU"
    (case,) = document["cases"].values()
    assert {"ckptfmt", "python: readinto"} <= set(case["libraries"])
    for outcome in case["libraries"].values():
        assert outcome["warm"]["median"] > 0
        assert outcome["cold"]["runs"] == 1
        assert "memory" in outcome
    (target,) = case["targets"]
    assert target["wanted"] == 0.8
    assert target["measured"] > 0
    page = output.with_suffix(".md").read_text(encoding="utf-8")
    assert page.strip() == done.stdout.strip()
    assert "wanted ≥ 0.8" in page
    assert "python: readinto" in page


def test_scaling_curves_are_tabulated_and_plotted(tmp_path: Path) -> None:
    output = tmp_path / "curves"
    arguments = ["--size", "tiny", "--axes", "threads", "--max-threads", "1", "--rounds", "1", "--runs", "1"]
    done = run("benchmarks.scaling", *arguments, "--output", str(output))
    assert done.returncode == 0, done.stderr
    document = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert [line["library"] for line in document["curves"]["threads"]] == [
        *("ckptfmt", "crc32c: mapped file", "ckptfmt"),
    ]
    page = output.with_suffix(".md").read_text(encoding="utf-8")
    assert "## By threads" in page
    if missing_module("matplotlib") is None:
        assert output.with_suffix(".svg").read_text(encoding="utf-8").startswith("<?xml")
    else:
        assert "No plot: matplotlib is not installed." in page


@pytest.mark.tensorflow
def test_a_session_restores_the_arrays_that_are_read(tensorflow: ModuleType, tmp_path: Path) -> None:
    output = tmp_path / "parity"
    arguments = ["--frameworks", "tensorflow", "--mebibytes", "1", "--rounds", "1", "--output", str(output)]
    done = run("benchmarks.restore_parity", *arguments)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))["reports"]
    assert all(check["equal"] for check in report["checks"])
    checked = {check["what"] for check in report["checks"]}
    assert {"bfloat16, resource", "float32, partitioned reference", "string, resource"} <= checked
    assert "float32, partitioned reference, its moving average" in checked
    assert all(timing["seconds"] for timing in report["timings"])


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_frameworks_receive_the_arrays_that_are_read(framework: str, tmp_path: Path) -> None:
    output = tmp_path / "parity"
    arguments = ["--frameworks", framework, "--mebibytes", "1", "--rounds", "1", "--output", str(output)]
    done = run("benchmarks.restore_parity", *arguments)
    assert done.returncode == 0, done.stderr
    document = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    if missing_module(framework) is None:
        assert all(check["equal"] for check in document["reports"][0]["checks"])
    else:
        assert document["not_run"] == {framework: f"{framework} is not installed"}
        assert f"- {framework}: {framework} is not installed" in done.stdout


def test_arrays_are_the_same_only_if_every_bit_is() -> None:
    ours = np.array([1.0, np.nan, -0.0], np.float32)
    assert same(ours.copy(), ours)
    assert not same(np.array([1.0, np.nan, 0.0], np.float32), ours)
    assert not same(ours.reshape(3, 1), ours)
    assert not same(ours.astype(np.float64), ours)
    low = np.array([0x0F, 0xF7], np.uint8)
    assert same(low.view(ml_dtypes.int4), np.array([0xFF, 0x07], np.uint8).view(ml_dtypes.int4))
    strings = np.array([b"a", b"a\0"], object)
    assert same(strings.copy(), strings)
    assert not same(np.array([b"a", b"a"], object), strings)


def test_a_difference_is_listed() -> None:
    report = Report("tensorflow", "2", "/GPU:0", [Check("float32, resource", False, 4, "Saver.restore")])
    assert "tensorflow: float32, resource (Saver.restore)" in parity_page({}, [report], {})
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("task", [task for task, cells in TASKS.items() if "ckptfmt" in cells])
def test_tasks_of_the_comparison_are_done_without_an_error(task: str) -> None:
    said = measure_cell(TASKS[task]["ckptfmt"])
    assert said
    assert "Error" not in said


def test_the_recorded_comparison_has_every_task_and_library() -> None:
    recorded = (ROOT / "benchmarks" / "results" / "comparison.md").read_text(encoding="utf-8")
    for task, section in zip(TASKS, recorded.split("\n## ")[1:], strict=True):
        assert section.startswith(task)
        rows = [line.split(" | ")[0][2:] for line in section.splitlines() if line.startswith("| ")]
        assert rows[1:] == [library for library in LIBRARIES if library in TASKS[task]]


def test_sizes_grow() -> None:
    tiny, small, full = SIZES.values()
    for field in fields(tiny):
        of_tiny, of_small, of_full = (getattr(size, field.name) for size in (tiny, small, full))
        assert of_tiny < of_small <= of_full, field.name


@pytest.mark.skipif(shutil.which("cp") is None, reason="no cp here")
def test_copies_are_measured(tmp_path: Path) -> None:
    copy_checkpoint.write_source(tmp_path / "old" / "model", 1 << 20)
    seconds, sizes, _ = copy_checkpoint.measure(tmp_path, 1, sync=True)
    assert min(seconds.values()) > 0
    assert sizes["copy"] > sizes["cp of all"] == 2 << 20
    assert sizes["copy renamed, pruned, resharded"] > sizes["cp of half"] == 1 << 20
