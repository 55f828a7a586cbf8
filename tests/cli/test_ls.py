"""``ckptfmt ls`` as its users see it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.cli.render import output
from ckptfmt.cli.verbs.ls.command import TIMES
from ckptfmt.tensors.stored_entries import StoredEntries
from tests.support import golden
from tests.support.command_line import COMMAND, drawn_by_rich, environment, on_terminal, run, run_json, spawn
from tests.support.table_writer import encode_bundle_index, encode_entry, write_bundle

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")


@pytest.fixture
def layers(tmp_path: Path) -> str:
    """Twelve equal kernels, biases of two shapes, and a step."""
    tensors = {f"layer_{i}/kernel": np.zeros((4, 3), np.float32) for i in range(12)}
    tensors |= {f"layer_{i}/bias": np.zeros(3 if i < 2 else 5, np.float64) for i in range(3)}
    return write_bundle(tmp_path / "model", tensors | {"global_step": np.array(7, np.int64)}, num_shards=2)


@pytest.fixture
def bad_entry(tmp_path: Path) -> str:
    """Three tensors; the entry of the second is not a message."""
    good = encode_entry(dtype=3, shape=(2,), size=8, crc=0)
    index = encode_bundle_index({"a": good, "b": b"\xff\xff", "c": good})
    (tmp_path / "model.index").write_bytes(index)
    (tmp_path / "model.data-00000-of-00001").write_bytes(bytes(8))
    return str(tmp_path / "model")


def test_each_tensor_is_one_line_of_four_columns(layers: str) -> None:
    result = run("ls", layers)
    assert result.exit_code == 0
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["global_step", "int64", "[]", "8"]
    assert ["layer_0/kernel", "float32", "[4,3]", "48"] in lines
    assert len(lines) == 16


def test_totals_go_to_stderr(layers: str) -> None:
    assert run("ls", layers).stderr == "16 tensors, 156 parameters, 672 B, 2 shards\n"


def test_a_directory_a_prefix_and_a_file_lead_to_the_same_list(layers: str) -> None:
    lists = {run("ls", path).stdout for path in (layers, Path(layers).parent, f"{layers}.index")}
    assert len(lists) == 1


@pytest.mark.parametrize(
    "case", ["dtypes", "strings", "sliced_dtypes", "v1_whole", "v1_sliced", "names", "many"]
)
def test_what_tensorflow_wrote_is_listed(case: str) -> None:
    expected = golden.load(case)
    listed = run_json("ls", expected.path)
    assert listed["format"] == expected.format
    found = {
        tensor["name"].encode("utf-8", "surrogateescape"): (tensor["dtype"], tuple(tensor["shape"]))
        for tensor in listed["tensors"]
    }
    assert found == {key: (tensor.dtype, tensor.shape) for key, tensor in expected.tensors.items()}
    assert listed["totals"]["tensors"] == len(expected.tensors)


def test_json_has_the_place_of_each_tensor(layers: str) -> None:
    listed = run_json("ls", layers, "layer_1/kernel")
    assert listed["prefix"] == layers
    (tensor,) = listed["tensors"]
    assert list(tensor) == ["name", "dtype", "shape", "bytes", "shard", "offset", "crc32c", "slices"]
    assert (tensor["shape"], tensor["bytes"], tensor["slices"]) == ([4, 3], 48, [])
    assert listed["totals"] == {
        "tensors": 1,
        "in_checkpoint": 16,
        "unreadable": 0,
        "parameters": 12,
        "bytes": 48,
        "shards": 1,
    }


def test_lines_are_written_as_the_entries_are_read(layers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only those that are written together are in memory together.
    monkeypatch.setattr(output, "_BATCH", 3)
    log: list[str] = []
    find, write = StoredEntries.__getitem__, output.write

    def spy_read(entries: StoredEntries, name: str) -> Entry:
        log.append("read")
        return find(entries, name)

    def spy_write(text: str) -> None:
        log.append("write")
        write(text)

    monkeypatch.setattr(StoredEntries, "__getitem__", spy_read)
    monkeypatch.setattr(output, "write", spy_write)
    assert len(names(layers)) == 16
    assert log == [*["read", "read", "read", "write"] * 5, "read", "write"]


# --- choosing ----------------------------------------------------------------------------------------------


def names(*args: object) -> list[str]:
    result = run("ls", *args)
    assert result.exit_code == 0, result.stderr
    return [line.split("\t")[0] for line in result.stdout.splitlines()]


def test_a_star_also_matches_slashes(layers: str) -> None:
    assert names(layers, "*1*nel") == ["layer_1/kernel", "layer_10/kernel", "layer_11/kernel"]


def test_a_tensor_that_matches_any_pattern_is_listed(layers: str) -> None:
    assert names(layers, "global_step", "*/bias") == ["global_step", *(f"layer_{i}/bias" for i in range(3))]


def test_a_name_with_brackets_matches_itself() -> None:
    assert names(golden.load("names").path, "[x]*?") == ["[x]*?"]


def test_totals_of_a_selection_include_the_number_of_all_tensors(layers: str) -> None:
    assert run("ls", layers, "*/bias").stderr == "3 tensors of 16, 11 parameters, 88 B, 2 shards\n"


def test_a_pattern_that_matches_nothing_is_not_found(layers: str) -> None:
    result = run("ls", layers, "layer_1/kernal")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "no tensor matches 'layer_1/kernal'; did you mean 'layer_1/kernel'" in result.stderr


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        (["nope"], "no tensor matches 'nope'; patterns are globs: try '*nope*'"),
        (["*nope*"], "no tensor matches '*nope*'"),
        (["nope", "nor"], "no tensor matches 'nope' or 'nor'; patterns are globs: try '*nope*'"),
        (["nope", "nor*"], "no tensor matches 'nope' or 'nor*'"),
        (["layer_2"], "no tensor matches 'layer_2'; patterns are globs: try '*layer_2*'; did you mean "),
    ],
)
def test_a_pattern_without_a_star_is_answered_with_a_glob_to_try(
    layers: str, patterns: list[str], said: str
) -> None:
    result = run("ls", layers, *patterns)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith(f"ckptfmt: {layers}: {said}")
    assert said.endswith(" ") or result.stderr.endswith(f"{said}\n")
    error = run_json("ls", layers, *patterns, code=4)["error"]
    assert (error["type"], error["name"]) == ("TensorNotFoundError", " ".join(patterns))


def test_dtype_and_size_filter(layers: str) -> None:
    assert names(layers, "--dtype", "int*") == ["global_step"]
    assert names(layers, "--dtype", "int64", "--dtype", "float64", "--min-size", "40") == ["layer_2/bias"]
    assert len(names(layers, "--min-size", "0.03KiB")) == 13


def test_a_filter_that_nothing_passes_is_not_an_error(layers: str) -> None:
    for filters in (["--min-size", "1GiB"], ["--dtype", "qint8"], ["*/kernel", "--dtype", "int*"]):
        result = run("ls", layers, *filters)
        assert (result.exit_code, result.stdout) == (0, "")
        totals, hint = result.stderr.splitlines()
        assert totals.startswith("0 tensors of 16")
        assert hint == "ckptfmt: no tensor matches --dtype and --min-size"
        assert run_json("ls", layers, *filters)["tensors"] == []


def test_a_filter_is_not_blamed_for_an_empty_checkpoint_or_a_bad_entry(
    layers: str, bad_entry: str, tmp_path: Path
) -> None:
    empty = write_bundle(tmp_path / "empty", {})
    assert run("ls", empty).stderr == "0 tensors, 0 parameters, 0 B, 0 shards\n"
    for path, dtype in ((layers, "int64"), (bad_entry, "qint8")):
        assert "filters" not in run("ls", path, "--dtype", dtype).stderr


@pytest.mark.parametrize(
    ("glob", "said"),
    [
        ("floaty", "no dtype matches 'floaty'; did you mean 'float"),
        ("float", "did you mean 'float32'?"),
        ("DT_DOUBLE", "did you mean 'float64'?"),
        ("Int32", "did you mean 'int32'?"),
        ("f4", "no dtype matches 'f4'; pass, for example, float32"),
        ("", "no dtype matches ''"),
    ],
)
def test_an_unknown_dtype_is_wrong_usage(layers: str, glob: str, said: str) -> None:
    result = run("ls", layers, "--dtype", "int64", f"--dtype={glob}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize("glob", ["unknown_99", "unknown*", "float32_ref", "invalid", "[iu]nt?", "*"])
def test_every_dtype_that_may_be_listed_is_accepted(layers: str, glob: str) -> None:
    assert run("ls", layers, "--dtype", glob).exit_code == 0


@pytest.mark.parametrize("text", ["", "-1", "1XiB", "1i", "MiB", "1e9", "1.MiB"])
def test_a_malformed_size_is_wrong_usage(layers: str, text: str) -> None:
    result = run("ls", layers, f"--min-size={text}")
    assert result.exit_code == 2
    assert "is not a size, such as 4096" in result.stderr


# --- order -------------------------------------------------------------------------------------------------


def test_sorted_by_size_the_largest_come_first(layers: str) -> None:
    assert names(layers, "--sort", "size")[0] == "layer_0/kernel"
    assert names(layers, "--sort", "size", "--reverse")[0] == "global_step"


def test_sorted_by_shape_scalars_come_first(layers: str) -> None:
    assert names(layers, "--sort", "shape", "layer_[02]/*", "global_step") == [
        "global_step",
        "layer_0/bias",
        "layer_2/bias",
        "layer_0/kernel",
        "layer_2/kernel",
    ]


def test_sorted_by_dtype(layers: str) -> None:
    assert names(layers, "--sort", "dtype")[-1] == "global_step"


def test_names_can_be_reversed(layers: str) -> None:
    assert names(layers, "-r") == names(layers)[::-1]


# --- repeated layers ---------------------------------------------------------------------------------------


def test_repeated_layers_collapse_if_dtype_and_shape_agree(layers: str) -> None:
    result = run("ls", layers, "--collapse")
    assert result.stdout.splitlines() == [
        "global_step\tint64\t[]\t8",
        f"layer_#/bias {TIMES}2\tfloat64\t[3]\t48",
        f"layer_#/kernel {TIMES}12\tfloat32\t[4,3]\t576",
        "layer_2/bias\tfloat64\t[5]\t40",
    ]
    assert result.stderr.startswith("16 tensors, ")


def test_collapsed_json_names_the_members(layers: str) -> None:
    listed = run_json("ls", layers, "*/bias", "--collapse")
    group, single = listed["tensors"]
    assert (group["name"], group["count"], group["bytes"]) == ("layer_#/bias", 2, 48)
    assert group["names"] == ["layer_0/bias", "layer_1/bias"]
    assert (single["name"], single["count"], single["names"]) == ("layer_2/bias", 1, ["layer_2/bias"])
    assert listed["totals"]["tensors"] == 3


# --- slices ------------------------------------------------------------------------------------------------


def test_slices_are_shown_on_demand() -> None:
    result = run("ls", golden.load("sliced_shapes").path, "vector", "whole", "--slices")
    assert result.stdout == "vector\tfloat32\t[7]\t28\t0,1 1,4 5,2\nwhole\tfloat32\t[2]\t8\t-\n"


# --- bad entries -------------------------------------------------------------------------------------------


def test_a_bad_entry_does_not_stop_the_list(bad_entry: str) -> None:
    result = run("ls", bad_entry)
    assert result.exit_code == 3
    assert result.stdout == "a\tint32\t[2]\t8\nb\t?\t?\t?\nc\tint32\t[2]\t8\n"
    totals, error = result.stderr.splitlines()
    assert totals == "3 tensors, 4 parameters, 16 B, 1 shard, 1 unreadable"
    assert error.startswith("ckptfmt: ")
    assert "'b'" in error
    assert "model.index" in error


def test_a_bad_entry_comes_last_unless_sorted_by_name(bad_entry: str) -> None:
    result = run("ls", bad_entry, "--sort", "size", "--slices", "--collapse")
    assert result.stdout.splitlines()[-1] == "b\t?\t?\t?\t?"


@pytest.mark.parametrize(
    ("options", "names"),
    [([], "abc"), (["-r"], "cba"), (["--collapse"], "abc"), (["--sort", "size", "-r"], "acb")],
)
def test_a_bad_entry_keeps_its_place_among_names(bad_entry: str, options: list[str], names: str) -> None:
    result = run("ls", bad_entry, *options)
    assert [line[0] for line in result.stdout.splitlines()] == list(names)
    assert len(result.stderr.splitlines()) == 2
    assert [tensor["name"] for tensor in run_json("ls", bad_entry, *options, code=3)["tensors"]] == [*names]


def test_json_has_the_error_of_a_bad_entry(bad_entry: str) -> None:
    listed = run_json("ls", bad_entry, code=3)
    assert [tensor["name"] for tensor in listed["tensors"]] == ["a", "b", "c"]
    bad = listed["tensors"][1]
    assert list(bad) == ["name", "error"]
    assert bad["error"]["file"].endswith("model.index")
    assert listed["totals"]["unreadable"] == 1


def test_a_missing_shard_does_not_matter(layers: str) -> None:
    Path(f"{layers}.data-00001-of-00002").unlink()
    assert run("ls", layers).exit_code == 0


# --- names -------------------------------------------------------------------------------------------------


def test_names_are_escaped_and_stay_on_their_line() -> None:
    listed = names(golden.load("names").path)
    assert len(listed) == len(golden.load("names").tensors)
    assert all(name.isprintable() for name in listed)
    for name in (r"new\nline", r"tab\tcr\r", r"\x1b[31mred\x1b[0m", r"\u202eright to left", r"\xff", "café"):
        assert name in listed
    assert r"back\\slash" in listed


def test_an_output_without_the_characters_gets_escapes(layers: str) -> None:
    result = spawn("ls", golden.load("names").path, PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert "caf\\xe9" in result.stdout
    assert "layer_#/kernel x12" in spawn("ls", layers, "--collapse", PYTHONIOENCODING="ascii").stdout


# --- output streams -----------------------------------------------------------------------------------------


@needs_terminal
@drawn_by_rich
def test_a_terminal_gets_a_table_with_its_totals(layers: str) -> None:
    code, shown = on_terminal("ls", layers, "--collapse")
    assert code == 0
    assert "\x1b[1mname" in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["layer_#/kernel", f"{TIMES}12", "float32", "[4,3]", "576", "B"] in rows
    assert shown.splitlines()[-1] == "16 tensors, 156 parameters, 672 B, 2 shards"


@needs_terminal
@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_no_escape_codes_if_they_are_not_wanted(layers: str, env: dict[str, str]) -> None:
    code, shown = on_terminal("ls", layers, **env)
    assert code == 0
    assert "layer_0/kernel" in shown
    assert "\x1b" not in shown


@needs_terminal
@drawn_by_rich
def test_names_are_folded_and_never_cut_on_a_narrow_terminal() -> None:
    name = "optimizer/_trainable_variables/0"
    _, shown = on_terminal("ls", golden.load("keras3").path, name, COLUMNS="50", NO_COLOR="1")
    assert "".join(line[:24].split()[0] for line in shown.splitlines()[1:-1]) == name


@needs_terminal
def test_markup_in_a_name_is_text_on_a_terminal() -> None:
    _, shown = on_terminal("ls", golden.load("names").path, NO_COLOR="1")
    assert "[x]*?" in shown
    assert r"\x1b[31mred\x1b[0m" in shown


@needs_terminal
def test_a_long_list_is_aligned() -> None:
    expected = golden.load("many")
    code, shown = on_terminal("ls", expected.path, "--wide")
    assert code == 0
    lines = shown.splitlines()
    assert len(lines) == len(expected.tensors) + 2
    assert len({line.index("int32") for line in lines[1:-1]}) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no head")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_not_an_error(unbuffered: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, "ls", str(golden.load("many").path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED=unbuffered),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert said == b""


def test_nothing_is_written_next_to_the_files(layers: str) -> None:
    before = sorted(Path(layers).parent.iterdir())
    run("ls", layers)
    run("show", layers, "global_step")
    run("verify", layers)
    assert sorted(Path(layers).parent.iterdir()) == before


def test_rich_is_not_imported_off_a_terminal(layers: str) -> None:
    program = (
        "import sys; from ckptfmt.cli.app import app\n"
        f"app.main(['ls', {layers!r}], standalone_mode=False)\n"
        "unused = {'rich', 'ckptfmt.cli.verbs.show', 'ckptfmt.cli.verbs.verify'}\n"
        "print(sorted(unused & sys.modules.keys()), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert result.stderr.splitlines()[-1] == "[]", result.stderr
