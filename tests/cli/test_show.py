"""``ckptfmt show`` as its users see it."""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.cli.render import output
from ckptfmt.cli.render.values import PrintOptions, builtin, values_text
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY, VARIABLE_VALUE
from tests.support import golden
from tests.support.command_line import run, run_json
from tests.support.object_graph import encode_graph, encode_node, encode_variable
from tests.support.table_writer import write_bundle

DTYPES = golden.load("dtypes")
KERAS = golden.load("keras3").path


def fields(*args: object, code: int = 0) -> dict[str, str]:
    """The lines before the values."""
    result = run("show", *args)
    assert result.exit_code == code, result.stderr
    head = result.stdout.split("\n\n")[0]
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in head.splitlines()}


def values(*args: object) -> str:
    result = run("show", *args)
    assert result.exit_code == 0, result.stderr
    return str(result.stdout).split("\n\n", 1)[1].rstrip("\n")


@pytest.fixture
def matrix(tmp_path: Path) -> str:
    return write_bundle(tmp_path / "model", {"m": np.arange(200, dtype=np.float32).reshape(20, 10)})


@pytest.fixture
def damaged(matrix: str) -> str:
    """The last byte of the values is wrong."""
    path = Path(f"{matrix}.data-00000-of-00001")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    return matrix


def test_metadata_statistics_and_values_are_shown(matrix: str) -> None:
    result = run("show", matrix, "m")
    assert result.exit_code == 0
    assert result.stderr == ""
    shown = fields(matrix, "m")
    entry = ckptfmt.open(matrix).entries["m"]
    assert shown == {
        "name": "m",
        "dtype": "float32",
        "shape": "[20,10]",
        "bytes": "800",
        "shard": "0 of 1",
        "file": f"{matrix}.data-00000-of-00001",
        "offset": "0 (0x0)",
        "crc32c": f"0x{entry.crc32c:08x}",
        "checksum": "verified",
        "min": "0",
        "max": "199",
        "mean": "99.5",
        "std": "57.734305",
        "zeros": "1",
        "nan": "0",
        "inf": "0",
    }
    assert values(matrix, "m").startswith("[[  0.   1.   2. ")


def test_print_options_are_those_of_numpy(matrix: str) -> None:
    array = np.arange(200, dtype=np.float32).reshape(20, 10)
    options = ["--threshold", "10", "--edgeitems", "2", "--linewidth", "40", "--precision", "1"]
    expected = np.array2string(array, threshold=10, edgeitems=2, max_line_width=40, precision=1)
    assert values(matrix, "m", *options) == expected


@pytest.mark.parametrize("shape", [(7,), (6,), (1, 50), (50, 1), (3, 20, 4), (5, 0, 3), ()], ids=str)
def test_a_summary_is_the_one_numpy_makes(shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    assert values_text(array, PrintOptions(threshold=0)) == np.array2string(array, threshold=0)


def test_all_values_are_shown_on_demand(matrix: str) -> None:
    text = values(matrix, "m", "--threshold", "10", "--values")
    assert "..." not in text
    assert len(text.replace("[", " ").replace("]", " ").split()) == 200


def test_with_no_values_none_are_read(damaged: str) -> None:
    assert fields(damaged, "m", "--no-values") == {
        "name": "m",
        "dtype": "float32",
        "shape": "[20,10]",
        "bytes": "800",
        "shard": "0 of 1",
        "file": f"{damaged}.data-00000-of-00001",
        "offset": "0 (0x0)",
        "crc32c": "0x" + f"{ckptfmt.open(damaged).entries['m'].crc32c:08x}",
        "checksum": "not checked",
    }


def test_statistics_can_be_left_out(matrix: str) -> None:
    assert "mean" not in fields(matrix, "m", "--no-stats")


NUMERIC = [t for t in DTYPES.tensors.values() if t.dtype != "string" and t.has_value]


@pytest.mark.parametrize("tensor", NUMERIC, ids=lambda tensor: tensor.name)
def test_numbers_of_every_dtype_are_exact_in_json(tensor: golden.GoldenTensor) -> None:
    shown = run_json("show", DTYPES.path, tensor.name)
    assert (shown["dtype"], tuple(shown["shape"])) == (tensor.dtype, tensor.shape)
    expected = tensor.expected()
    # "NaN", "Infinity" and "-Infinity" are what float() takes.
    numbers = each(lambda item: float(item) if isinstance(item, str) else item, shown["values"])
    if expected.dtype.kind == "c":
        expected = np.stack([expected.real, expected.imag], -1)
    expected = builtin(expected)
    np.testing.assert_array_equal(np.array(numbers, expected.dtype).reshape(expected.shape), expected)


@pytest.mark.parametrize("tensor", DTYPES.tensors.values(), ids=lambda tensor: tensor.name)
def test_every_dtype_is_printed(tensor: golden.GoldenTensor) -> None:
    assert fields(DTYPES.path, tensor.name)["checksum"] == "verified"


def each(function: Callable[[Any], Any], values: Any) -> Any:
    return [each(function, value) for value in values] if isinstance(values, list) else function(values)


def test_json_has_these_keys(matrix: str) -> None:
    shown = run_json("show", matrix, "m")
    assert list(shown) == [
        *("prefix", "format", "name", "dtype", "shape", "bytes", "shard", "file", "offset", "crc32c"),
        "slices",
        *("slice", "checksum", "statistics", "values"),
    ]
    assert shown["slice"] is None
    assert shown["statistics"]["max"] == 199
    assert np.array(shown["values"]).shape == (20, 10)


def test_json_leaves_many_values_out_unless_asked(matrix: str) -> None:
    assert run_json("show", matrix, "m", "--threshold", "199")["values"] is None
    assert np.array(run_json("show", matrix, "m", "--threshold", "199", "--values")["values"]).size == 200


# --- strings and variants ----------------------------------------------------------------------------------


def test_strings_are_quoted_and_escaped() -> None:
    assert values(DTYPES.path, "string/vector").startswith('["" "\\x00" "\\xff"\n "aaaa')
    assert values(DTYPES.path, "string/scalar") == '"hello"'


def test_a_long_string_says_how_long_it_is() -> None:
    text = values(KERAS, "_CHECKPOINTABLE_OBJECT_GRAPH")
    assert text.endswith('"… (3270 bytes)')
    assert "… (" not in values(KERAS, "_CHECKPOINTABLE_OBJECT_GRAPH", "--values")


def test_strings_in_json_are_text_or_base64() -> None:
    shown = run_json("show", DTYPES.path, "string/vector")
    strings = [
        base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()
        for value in shown["values"]
    ]
    assert strings == DTYPES.tensors[b"string/vector"].expected().tolist()
    assert shown["values"][2] == {"base64": "/w=="}
    assert shown["statistics"] is None


def test_variants_are_described() -> None:
    path = golden.load("variants").path
    text = values(path, "list")
    assert text.startswith("<variant tensorflow::TensorList metadata=")
    assert text.endswith("tensors=(float32[2] float32[2])>")
    assert "string[] string[] string[]" in values(path, "strings")
    (variant, _) = run_json("show", path, "vector")["values"]
    assert variant["type_name"] == "tensorflow::TensorList"
    assert variant["tensors"] == [{"dtype": "float32", "shape": [2]}] * 2


# --- slices ------------------------------------------------------------------------------------------------


def test_a_slice_shows_its_part_and_that_it_was_not_checked(matrix: str) -> None:
    shown = fields(matrix, "m", "--slice", "18:,::3")
    assert (shown["slice"], shown["part"]) == ("[18:,::3]", "[2,4]")
    assert shown["checksum"] == "not checked: it covers more than this slice"
    assert shown["min"] == "180"
    assert values(matrix, "m", "--slice", "18:,::3") == "[[180. 183. 186. 189.]\n [190. 193. 196. 199.]]"


def test_a_slice_that_takes_everything_is_checked(matrix: str) -> None:
    assert fields(matrix, "m", "--slice", "::-1")["checksum"] == "verified"
    assert run_json("show", matrix, "m", "--slice", "...")["checksum"] == "verified"


def test_part_of_a_damaged_tensor_is_not_reported_as_fine(damaged: str) -> None:
    assert fields(damaged, "m", "--slice", "0:2")["checksum"].startswith("not checked")
    assert run_json("show", damaged, "m", "--slice", "-1")["checksum"] == "not checked"
    assert run("show", damaged, "m", "--slice", ":").exit_code == 3


def test_json_of_a_slice(matrix: str) -> None:
    shown = run_json("show", matrix, "m", "--slice", "[-1, 8:]")
    assert shown["slice"] == {"index": "[-1,8:]", "shape": [2]}
    assert shown["shape"] == [20, 10]
    assert shown["values"] == [198, 199]


@pytest.mark.parametrize(
    ("index", "checked"),
    [("0:1", True), ("0", True), ("1:5", True), ("1:7", True), ("2", False), ("0:2", False), ("3:3", False)],
)
def test_slices_of_a_tensor_that_are_taken_whole_are_checked(index: str, checked: bool) -> None:
    """The slices are 0,1 1,4 and 5,2."""
    shown = run_json("show", golden.load("sliced_shapes").path, "vector", "--slice", index)
    assert shown["checksum"] == ("verified" if checked else "not checked")


def test_a_slice_is_called_checked_if_the_library_checks_it(tmp_path: Path) -> None:
    """Every index, on a copy in which no checksum matches: the library raises if it checks."""
    source = golden.load("sliced_shapes")
    for path in source.folder.iterdir():
        content = path.read_bytes()
        spoiled = bytes(byte ^ 0x40 for byte in content) if ".data" in path.name else content
        (tmp_path / path.name).write_bytes(spoiled)
    with ckptfmt.open(tmp_path / source.path.name) as checkpoint:
        reader = checkpoint.slice("pinwheel")
        ranges = [slice(a, b) for a in range(4) for b in range(4)]
        for index in itertools.product([*ranges, 0, -1, slice(None, None, -2)], repeat=2):
            try:
                reader[index]
            except ckptfmt.errors.ChecksumError:
                continue
            assert not reader.is_verified(index), index


def test_a_v1_slice_is_always_checked_because_blocks_are() -> None:
    assert (
        run_json("show", golden.load("v1_whole").path, "float32/vector", "--slice", "1:2")["checksum"]
        == "verified"
    )


@pytest.mark.parametrize(
    "text", ["", "[]", "a", "1,,2", "1:2:3:4", "::0", "1.5", "__import__('os')", "[1", "9" * 30, "0x1", "(1)"]
)
def test_a_malformed_index_is_wrong_usage(matrix: str, text: str) -> None:
    result = run("show", matrix, "m", "--slice", text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for '--slice'" in result.stderr


@pytest.mark.parametrize("text", ["20", "-21", "0,0,0", "...,..."])
def test_an_index_that_does_not_fit_is_wrong_usage(matrix: str, text: str) -> None:
    result = run("show", matrix, "m", "--slice", text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for '--slice': m: " in result.stderr


# --- names -------------------------------------------------------------------------------------------------


def test_the_end_of_a_name_is_enough_if_one_tensor_has_it() -> None:
    full = "optimizer/_trainable_variables/0/.ATTRIBUTES/VARIABLE_VALUE"
    for name in (full, full.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"), "_trainable_variables/0"):
        assert fields(KERAS, name)["name"] == full


def test_the_end_of_several_names_is_not_enough() -> None:
    result = run("show", KERAS, "5")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "did you mean 'optimizer/_trainable_variables/5/.ATTRIBUTES/VARIABLE_VALUE' or" in result.stderr


def test_an_end_starts_at_a_slash() -> None:
    assert run("show", KERAS, "counter").exit_code == 4


def test_a_wrong_name_comes_with_close_matches() -> None:
    result = run("show", KERAS, "save_conter")
    assert result.exit_code == 4
    assert result.stderr.endswith(
        "no tensor named 'save_conter'; did you mean 'save_counter/.ATTRIBUTES/VARIABLE_VALUE'?\n"
    )


@pytest.mark.parametrize(
    "name", [r"new\nline", r"\x1b[31mred\x1b[0m", r"back\\slash", r"\u202eright to left", r"\xff"]
)
def test_a_name_may_be_given_as_it_is_printed(name: str) -> None:
    assert fields(golden.load("names").path, name)["name"] == name


@pytest.mark.parametrize(
    "tensor", golden.load("names").tensors.values(), ids=lambda tensor: repr(tensor.key)[:40]
)
def test_a_name_may_be_given_as_it_is(tensor: golden.GoldenTensor) -> None:
    shown = run_json("show", golden.load("names").path, tensor.name)
    assert shown["name"].encode("utf-8", "surrogateescape") == tensor.key
    assert shown["values"] == tensor.expected().tolist()


# --- damage ------------------------------------------------------------------------------------------------


def test_a_damaged_tensor_keeps_its_metadata_and_has_no_values(damaged: str) -> None:
    result = run("show", damaged, "m")
    assert result.exit_code == 3
    assert "checksum  not checked\n" not in result.stdout
    assert fields(damaged, "m", code=3)["checksum"] == "wrong"
    assert "\n\n" not in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"ckptfmt: {damaged}.data-00000-of-00001 @0x0: ")


def test_the_values_of_a_damaged_tensor_are_shown_on_demand(damaged: str) -> None:
    shown = fields(damaged, "m", "--no-verify")
    assert shown["checksum"] == "not checked"
    assert shown["max"] != "199"


def test_json_has_the_error_of_a_damaged_tensor(damaged: str) -> None:
    shown = run_json("show", damaged, "m", code=3)
    assert (shown["checksum"], shown["values"], shown["statistics"]) == ("wrong", None, None)
    assert shown["shape"] == [20, 10]
    assert shown["error"]["type"] == "ChecksumError"
    assert shown["error"]["file"] == f"{damaged}.data-00000-of-00001"
    assert shown["error"]["offset"] == 0
    assert shown["error"]["stored"] != shown["error"]["computed"]


def test_metadata_is_shown_even_if_the_shard_is_missing(matrix: str) -> None:
    Path(f"{matrix}.data-00000-of-00001").unlink()
    assert fields(matrix, "m", code=4)["checksum"] == "not checked"
    assert run_json("show", matrix, "m", code=4)["error"]["type"] == "CheckpointNotFoundError"


# --- several names, patterns, and names as other verbs print them -------------------------------------------

DIGITS = "examples/digits"
KERNEL = f"optimizer/_trainable_variables/0{VARIABLE_VALUE}"


@pytest.fixture
def table(tmp_path: Path) -> str:
    """A checkpoint as `tf.train.Checkpoint(model=…)` writes it, with a table and a name with a slash."""
    graph = encode_graph(
        [
            encode_node([(1, "model")]),
            encode_node([(2, "t"), (3, "d"), (4, "emb")]),
            encode_node(attributes=[("table", "", "model/t/.ATTRIBUTES/table")]),
            encode_node([(5, "a/b")]),
            encode_variable("model/emb", "net/emb"),
            encode_variable("model/d/a.Sb", "Variable"),
        ]
    )
    keys = [f"model/t/.ATTRIBUTES/table-{part}" for part in ("keys", "values")]
    keys += [f"model/{path}{VARIABLE_VALUE}" for path in ("d/a.Sb", "emb")]
    tensors = {key: np.full(1, i, np.float32) for i, key in enumerate(keys)}
    return write_bundle(tmp_path / "table", tensors, strings={OBJECT_GRAPH_KEY: graph})


def shown_names(*args: object, code: int = 0) -> list[str]:
    result = run("show", *args, "--no-stats")
    assert result.exit_code == code, result.stderr
    return [line.split()[1] for line in result.stdout.splitlines() if line.startswith("name ")]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("model/t/table-keys", "model/t/.ATTRIBUTES/table-keys"),
        ("t/table-values", "model/t/.ATTRIBUTES/table-values"),
        ("model/d/a/b", f"model/d/a.Sb{VARIABLE_VALUE}"),
        ("model/d/a.Sb", f"model/d/a.Sb{VARIABLE_VALUE}"),
        ("d/a/b", f"model/d/a.Sb{VARIABLE_VALUE}"),
        ("model/emb:0", f"model/emb{VARIABLE_VALUE}"),
        ("net/emb", f"model/emb{VARIABLE_VALUE}"),
        ("net/emb:0", f"model/emb{VARIABLE_VALUE}"),
        ("Variable", f"model/d/a.Sb{VARIABLE_VALUE}"),
    ],
)
def test_a_name_may_be_an_object_path_or_a_full_name(table: str, name: str, key: str) -> None:
    assert shown_names(table, name) == [key]


@pytest.mark.parametrize(
    "name",
    [
        "digits/conv1/kernel",
        "digits/conv1/kernel:0",
        "conv1/kernel",
        "model/_functional/_operations/1/_kernel",
    ],
)
def test_the_names_that_tree_and_model_print_are_found(name: str) -> None:
    assert shown_names(DIGITS, name) == [KERNEL]


def test_full_names_that_several_tensors_have_are_ambiguous(tmp_path: Path) -> None:
    """Such as those of a model that Keras 3 exports: each variable is stored twice."""
    variables = [encode_variable(name, "model/dense/kernel") for name in "ab"]
    graph = encode_graph([encode_node([(1, "a"), (2, "b")]), *variables])
    tensors = {f"{name}{VARIABLE_VALUE}": np.zeros(2, np.float32) for name in "ab"}
    write_bundle(tmp_path / "ckpt", tensors, strings={OBJECT_GRAPH_KEY: graph})
    for name in ("model/dense/kernel", "dense/kernel", "kernel", "dense/kernel:0"):
        result = run("show", tmp_path / "ckpt", name)
        assert (result.exit_code, result.stdout) == (4, ""), name
        assert "did you mean" in result.stderr
    assert len(shown_names(tmp_path / "ckpt", "*/kernel")) == 2


@pytest.mark.tensorflow
def test_the_variables_of_a_saved_model_are_found_by_their_names(tmp_path: Path, tensorflow: Any) -> None:
    class Module(tensorflow.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.one = tensorflow.Variable([1.0], name="dense/kernel")
            self.two = tensorflow.Variable([2.0, 3.0], name="dense/kernel")

    tensorflow.saved_model.save(Module(), str(tmp_path / "model"))
    printed = {row["name"]: row["key"] for row in run_json("model", tmp_path / "model")["variables"]}
    assert len(set(printed.values())) == 2
    # The other name is also the full name of both.
    key = printed["dense/kernel_1"]
    for name in ("dense/kernel_1", "dense/kernel_1:0", "kernel_1"):
        assert shown_names(tmp_path / "model", name) == [key]


def test_every_name_that_a_view_has_is_found() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        for view in (ckpt.by_object_path(), ckpt.by_object_path(""), ckpt.by_full_name()):
            for name in view:
                assert shown_names(DIGITS, name, "--no-values") == [view.stored_name(name)]


def test_an_object_with_several_tensors_is_answered_with_their_names(table: str) -> None:
    result = run("show", table, "model/t")
    assert result.exit_code == 4
    assert "did you mean 'model/t/table-keys' or 'model/t/table-values'?" in result.stderr


def test_a_scope_is_answered_with_names_below_it(table: str, tmp_path: Path) -> None:
    assert "'model/t/table-keys'" in run("show", table, "model").stderr
    scopes = write_bundle(tmp_path / "m", {"a/w": np.zeros(1, np.float32), "a/b": np.zeros(1, np.float32)})
    assert "did you mean 'a/b' or 'a/w'?" in run("show", scopes, "a").stderr


def test_a_wrong_name_is_answered_with_a_full_name() -> None:
    result = run("show", DIGITS, "digits/conv1/kernl")
    assert result.exit_code == 4
    assert "did you mean 'digits/conv1/kernel'" in result.stderr
    assert "of by_full_name()?" in result.stderr


def test_names_with_an_output_number_are_found_without_it(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "m", {"a/w:0": np.zeros(1, np.float32), "b": np.zeros(1, np.float32)})
    assert shown_names(prefix, "a/w", "b:0", "w") == ["a/w:0", "b"]


def test_several_names_are_shown_in_their_order_and_once(table: str) -> None:
    names = shown_names(table, "net/emb", "model/d/*", "model/d/a/b", "*keys")
    assert names == [
        f"model/emb{VARIABLE_VALUE}",
        f"model/d/a.Sb{VARIABLE_VALUE}",
        "model/t/.ATTRIBUTES/table-keys",
    ]


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("*", 31),
        ("model/*", 28),
        ("digits/*/kernel", 3),
        ("model/_functional/_operations/3/*", 4),
        ("optimizer/_iterations*", 1),
    ],
)
def test_a_pattern_stands_for_all_tensors_that_match(pattern: str, count: int) -> None:
    assert len(shown_names(DIGITS, pattern, "--no-values")) == count


def test_json_of_several_tensors_is_indented_on_a_terminal(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run_json("show", table, "model/t/*")
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    text = run("show", table, "model/t/*", "--json").stdout
    assert text == json.dumps(plain, indent=2) + "\n"


def test_a_stored_name_with_brackets_is_not_a_pattern(tmp_path: Path) -> None:
    tensors = {name: np.zeros(1, np.float32) for name in ("c[0]", "c0", "x*", "xy")}
    prefix = write_bundle(tmp_path / "m", tensors)
    assert shown_names(prefix, "c[0]") == ["c[0]"]
    assert shown_names(prefix, "x*") == ["x*"]
    assert "name" in run_json("show", prefix, "x*")
    assert shown_names(prefix, "c*") == ["c0", "c[0]"]


def test_a_pattern_or_name_that_fits_nothing_shows_nothing(table: str) -> None:
    for name in ("zz*", "zz"):
        result = run("show", table, "net/emb", name)
        assert (result.exit_code, result.stdout) == (4, "")
        assert repr(name) in result.stderr


def test_several_tensors_are_separated_by_an_empty_line(table: str) -> None:
    separate = [run("show", table, name).stdout for name in ("model/emb", "model/t/table-keys")]
    assert run("show", table, "model/emb", "model/t/table-keys").stdout == "\n".join(separate)


def test_json_of_several_tensors_is_a_list_of_them(table: str) -> None:
    document = run_json("show", table, "model/emb", "model/t/*")
    assert list(document) == ["prefix", "format", "tensors"]
    assert document["tensors"][0] == run_json("show", table, "model/emb")
    assert [tensor["values"] for tensor in document["tensors"]] == [[3.0], [0.0], [1.0]]
    assert len(run_json("show", table, "model/e*")["tensors"]) == 1


def test_a_tensor_that_cannot_be_shown_does_not_stop_the_others(tmp_path: Path) -> None:
    tensors = {name: np.arange(4, dtype=np.float32) for name in "abc"}
    prefix = write_bundle(tmp_path / "m", tensors)
    data = Path(f"{prefix}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[17] ^= 1
    data.write_bytes(content)
    result = run("show", prefix, "*")
    assert result.exit_code == 3
    assert result.stdout.count("\n[0. 1. 2. 3.]\n") == 2
    assert "'b'" in result.stderr
    document = run_json("show", prefix, "*", code=3)
    assert ["error" in tensor for tensor in document["tensors"]] == [False, True, False]


def test_a_slice_is_taken_of_every_tensor_that_it_fits(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "m", {"a": np.zeros((3, 2), np.float32), "b": np.zeros(3, np.float32)})
    result = run("show", prefix, "*", "--slice", "0,:")
    assert result.exit_code == 2
    assert "name      a" in result.stdout
    assert "ckptfmt: b: " in result.stderr


def test_a_damaged_object_graph_does_not_hide_tensors(tmp_path: Path) -> None:
    prefix = write_bundle(
        tmp_path / "m", {"a/w": np.zeros(1, np.float32)}, strings={OBJECT_GRAPH_KEY: b"\xff\xff"}
    )
    assert shown_names(prefix, "w") == ["a/w"]
