"""``ckptfmt.convert``: sources, names, views, dtypes, and what is found before anything is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt import errors
from ckptfmt.converting.sinks.outgoing import outgoing
from ckptfmt.dtypes import BY_NAME, Storage
from tests.support import golden
from tests.support.memory_filesystem import MemoryFilesystem

OBJECTS = golden.GOLDEN / "keras3" / "ckpt-1"

VALUES: dict[str, Any] = {
    "dense/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "dense/bias": np.ones(4, np.float32),
    "dense/kernel/ExponentialMovingAverage": np.full((3, 4), 5, np.float32),
    "global_step": np.array(7, np.int64),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    ckptfmt.save(tmp_path / "model.ckpt", VALUES)
    return tmp_path / "model.ckpt"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new.safetensors"


def read(path: Path) -> dict[str, np.ndarray]:
    with ckptfmt.open_tensors(path) as tensors:
        return {name: np.array(array) for name, array in tensors.items()}


# --- sources -----------------------------------------------------------------------------------------------


def test_paths_open_files_views_and_arrays_are_sources(source: Path, target: Path) -> None:
    ckptfmt.convert(source, target)
    expected = target.read_bytes()
    with ckptfmt.open(source) as ckpt:
        for given in (str(source), f"{source}.index", ckpt, ckpt.select("*")):
            ckptfmt.convert(given, target, overwrite=True)
            assert target.read_bytes() == expected
    for arrays in (VALUES, {"dense": {"kernel": VALUES["dense/kernel"]}, "n": 3}):
        written = ckptfmt.convert(arrays, target, overwrite=True, verify=True)
        assert written.is_verified
    assert read(target)["n"].dtype == np.int32
    assert set(read(target)) == {"dense/kernel", "n"}


def test_several_sources_are_merged_if_their_names_differ(source: Path, target: Path) -> None:
    ckptfmt.convert([source, {"head/kernel": np.zeros(3)}], target)
    assert set(read(target)) == {*VALUES, "head/kernel"}
    with pytest.raises(errors.NameConflictError, match="several sources"):
        ckptfmt.convert([source, source], target, overwrite=True)


def test_what_is_no_source_is_refused(target: Path) -> None:
    with pytest.raises(TypeError, match="want a mapping"):
        ckptfmt.convert(5, target)  # type: ignore[arg-type]
    with pytest.raises(errors.PathNotFoundError):
        ckptfmt.convert(target.parent / "missing.ckpt", target)
    assert not target.exists()


def test_both_paths_may_lead_into_another_file_system() -> None:
    fs = MemoryFilesystem()
    ckptfmt.save("a/model", VALUES, fs=fs)
    written = ckptfmt.convert("a/model", "b/new.safetensors", fs=fs, verify=True, resume=True)
    assert written.files == ("b/new.safetensors",)
    assert written.remarks == ("only files of this machine can be resumed: nothing is kept",)
    assert ckptfmt.open_tensors("b/new.safetensors", fs=fs)["dense/bias"].tolist() == [1, 1, 1, 1]
    ckptfmt.convert("b/new.safetensors", "c/back.ckpt", fs=fs)
    assert ckptfmt.open("c/back.ckpt", fs=fs)["global_step"] == 7


def test_relative_paths_stay_those_of_the_time_of_the_call(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    ckptfmt.convert("model.ckpt", "new.safetensors", progress=lambda *_: os.chdir(tmp_path / "elsewhere"))
    assert read(tmp_path / "new.safetensors").keys() == VALUES.keys()


# --- names -------------------------------------------------------------------------------------------------


def test_weights_of_objects_have_their_usual_names_and_others_their_paths(target: Path) -> None:
    with ckptfmt.open(OBJECTS) as ckpt:
        weights = {name: array.tobytes() for name, array in ckpt.weights.items()}
        count = len(ckpt) - ("_CHECKPOINTABLE_OBJECT_GRAPH" in ckpt)
    ckptfmt.convert(OBJECTS, target)
    written = read(target)
    assert len(written) == count
    assert {name: written[name].tobytes() for name in weights} == weights
    assert not [name for name in written if ".ATTRIBUTES" in name]


def test_names_choose_the_kind(target: Path) -> None:
    path = OBJECTS
    with ckptfmt.open(path) as ckpt:
        kinds = {"stored": ckpt, "full": ckpt.by_full_name(), "path": ckpt.by_object_path(ambiguous="key")}
        for kind, view in kinds.items():
            ckptfmt.convert(path, target, names=kind, overwrite=True)
            assert set(read(target)) == set(view) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    with pytest.raises(ValueError, match="names: got 'short', want one of 'stored', 'full', 'path'"):
        ckptfmt.convert(path, target, names="short")


def test_a_plan_for_one_model_sees_the_stored_names(target: Path, tmp_path: Path) -> None:
    path = OBJECTS
    with ckptfmt.open(path) as ckpt:
        key = next(row.stored for row in ckpt.weights.explain() if row.name is not None)
    plan = ckptfmt.Plan.parse(f"version = 1\nrest = 'drop'\n[[step]]\nrename = '{key}'\nto = 'w'\n")
    ckptfmt.convert(path, target, plan=plan)
    assert list(read(target)) == ["w"]


def test_a_proposed_plan_is_about_the_names_that_match_shows(target: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "wanted.safetensors"
    with ckptfmt.open(OBJECTS) as ckpt:
        ckptfmt.convert(ckpt.weights, wanted, plan="keras-torch")
    ckptfmt.match(OBJECTS, wanted).propose().write(tmp_path / "plan.toml")
    ckptfmt.convert(OBJECTS, target, plan=tmp_path / "plan.toml")
    written = read(target)
    for name, array in read(wanted).items():
        assert written[name].tolist() == array.tolist()


def test_a_general_plan_that_would_leave_tensors_over_is_about_keys(target: Path) -> None:
    with ckptfmt.open(OBJECTS) as ckpt:
        rows = [(row.stored.partition("/.ATTR")[0], row.name) for row in ckpt.weights.explain()]
    lines = ["version = 1", "general = true", "rest = 'error'"]
    for number, (path, name) in enumerate(rows):
        # Not the whole key, so that the plan might as well be about paths.
        pattern = f"'^{re.escape(path)}(/.+)?$'"
        lines.append("[[step]]")
        lines += [f"drop = {pattern}"] if name is None else [f"rename = {pattern}", f"to = 'w{number}'"]
    ckptfmt.convert(OBJECTS, target, plan=ckptfmt.Plan.parse("\n".join(lines)))
    assert set(read(target)) == {f"w{i}" for i, (_, name) in enumerate(rows) if name is not None}


# --- views -------------------------------------------------------------------------------------------------


def test_options_make_views_in_their_order(source: Path, target: Path) -> None:
    ckptfmt.convert(source, target, ema=True, model_only=True, exclude="*bias", cast="bfloat16")
    written = read(target)
    assert written.keys() == {"dense/kernel"}
    assert written["dense/kernel"].dtype == ml_dtypes.bfloat16
    assert written["dense/kernel"].tolist() == [[5] * 4] * 3


def test_a_shipped_plan_is_found_by_its_name(source: Path, target: Path) -> None:
    ckptfmt.convert(source, target, model_only=True, plan="keras-torch", verify=True)
    written = read(target)
    assert written["dense.weight"].tolist() == VALUES["dense/kernel"].T.tolist()
    header = target.read_bytes()
    metadata = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["__metadata__"]
    assert ckptfmt.Plan.parse(metadata["plan"]).steps == ckptfmt.Plan.read("keras-torch").steps
    assert metadata["format"] == "pt"
    assert metadata["source"] == str(source)


# --- found before anything is written ----------------------------------------------------------------------


def test_what_a_format_cannot_hold_is_listed_with_reasons(tmp_path: Path, target: Path) -> None:
    ckptfmt.save(
        tmp_path / "m", {"text": np.array([b"a"], object), "z": np.zeros(2, complex), "w": np.ones(2)}
    )
    with pytest.raises(errors.ConversionError) as caught:
        ckptfmt.convert(tmp_path / "m", target)
    assert caught.value.problems == {"text": "no dtype string", "z": "no dtype complex128"}
    assert "pass cast= or exclude=" in str(caught.value)
    assert not target.exists()
    ckptfmt.convert(tmp_path / "m", target, exclude="text", cast="complex64")
    assert read(target)["z"].dtype == np.complex64


@pytest.mark.parametrize("name", ["__metadata__", "a\udcff"])
def test_names_that_a_format_cannot_have_are_an_error(target: Path, name: str) -> None:
    with pytest.raises(errors.ConversionError) as caught:
        ckptfmt.convert({name: np.zeros(1)}, target)
    assert list(caught.value.problems) == [name]


@pytest.mark.parametrize("name", ["a/../b", "/a", "a\0b", "a\nb", '"', "\\", "é\u2028", "x" * 70_000, " "])
def test_other_hostile_names_come_back_as_they_were(target: Path, name: str) -> None:
    load_file = pytest.importorskip("safetensors.numpy").load_file
    ckptfmt.convert({name: np.ones(2), "other": np.zeros(1)}, target, verify=True)
    assert set(read(target)) == {name, "other"} == set(load_file(target))


def test_a_target_that_does_not_say_its_format_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not say which format to write; pass to="):
        ckptfmt.convert(source, tmp_path / "new.bytes")
    with pytest.raises(ValueError, match=r"to: got 'safetensor'.*did you mean 'safetensors'"):
        ckptfmt.convert(source, tmp_path / "new", to="safetensor")


def test_sizes_of_shards_are_for_formats_that_have_them(source: Path, target: Path) -> None:
    for size in (0, -1, "0"):
        with pytest.raises(ValueError, match=r"max_shard_bytes: got .*, want at least 1"):
            ckptfmt.convert(source, target, max_shard_bytes=size)
    with pytest.raises(ValueError, match="'5 MBs' is not a size"):
        ckptfmt.convert(source, target, max_shard_bytes="5 MBs")
    with pytest.raises(ValueError, match="max_shard_bytes: npz is not written in several files"):
        ckptfmt.convert(source, target.with_suffix(".npz"), max_shard_bytes=100)


def test_an_existing_target_is_kept_unless_overwritten(source: Path, target: Path) -> None:
    target.write_bytes(b"old")
    with pytest.raises(errors.AlreadyExistsError):
        ckptfmt.convert(source, target)
    assert target.read_bytes() == b"old"
    ckptfmt.convert(source, target, overwrite=True)
    assert set(read(target)) == set(VALUES)


def test_a_damaged_source_leaves_nothing(source: Path, target: Path) -> None:
    data = Path(f"{source}.data-00000-of-00001")
    damaged = bytearray(data.read_bytes())
    damaged[3] ^= 1
    data.write_bytes(damaged)
    with pytest.raises(errors.ChecksumError, match="dense/kernel"):
        ckptfmt.convert(source, target)
    assert sorted(os.listdir(target.parent)) == sorted([data.name, f"{source.name}.index"])


# --- bytes -------------------------------------------------------------------------------------------------


HELD = {
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "float8_e4m3fn", "float8_e5m2"),
}
"""What safetensors has a dtype for: https://github.com/huggingface/safetensors."""


def _storable() -> list[str]:
    kinds = (Storage.FIXED, Storage.LOW_BITS)
    return [name for name, dtype in BY_NAME.items() if dtype.storage in kinds and not name.endswith("_ref")]


@pytest.mark.parametrize("name", _storable())
def test_each_dtype_comes_back_bit_by_bit_or_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    dtype = BY_NAME[name]
    bits = np.random.default_rng(0).integers(0, 256, 64 * dtype.numpy.itemsize, np.uint8)
    if name == "bool" or dtype.storage is Storage.LOW_BITS:
        bits &= 1
    array = bits.view(dtype.numpy).reshape(4, 16)
    with ckptfmt.CheckpointWriter(tmp_path / "m") as writer:
        writer.add("w", array, dtype=dtype)
    if name not in HELD:
        with pytest.raises(errors.ConversionError) as caught:
            ckptfmt.convert(tmp_path / "m", target)
        assert caught.value.problems == {"w": f"no dtype {name}"}
        return
    ckptfmt.convert(tmp_path / "m", target, verify=True)
    assert read(target)["w"].tobytes() == array.tobytes()
    ckptfmt.convert(target, tmp_path / "back.ckpt", verify=True)
    assert Path(f"{tmp_path}/back.ckpt.data-00000-of-00001").read_bytes() == array.tobytes()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_tensors_in_slices_are_put_together(tmp_path: Path, target: Path, axis: int, backend: str) -> None:
    array = np.arange(6000, dtype=np.int64).reshape(60, 100)
    with ckptfmt.CheckpointWriter(tmp_path / "m") as writer:
        for start in range(0, array.shape[axis], 13):
            extents = [(0, -1), (0, -1)]
            extents[axis] = (start, min(13, array.shape[axis] - start))
            part = array[start : start + 13] if axis == 0 else array[:, start : start + 13]
            writer.add_slice("w", array.shape, ckptfmt.types.TensorSlice(tuple(extents)), part)
    with ckptfmt.open(tmp_path / "m", backend=backend) as ckpt:
        ckptfmt.convert(ckpt, target, verify=True)
    assert read(target)["w"].tolist() == array.tolist()


def test_progress_reaches_the_whole(source: Path, target: Path) -> None:
    calls: list[tuple[int, int]] = []
    ckptfmt.convert(source, target, progress=lambda done, total: calls.append((done, total)))
    total = sum(array.nbytes for array in VALUES.values())
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_verification_names_what_differs(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ckptfmt.converting.sinks import byte_stream

    real = byte_stream.write_stretches

    def spoil(stretches: Any, output: Any, writing: Any) -> None:
        real(stretches[:-1], output, writing)
        output.write(bytes(stretches[-1].tensor.nbytes))

    monkeypatch.setattr("ckptfmt.converting.sinks.safetensors.sink.write_stretches", spoil)
    with pytest.raises(errors.CorruptError, match="differ: 'dense/kernel/ExponentialMovingAverage'"):
        ckptfmt.convert(source, target, verify=True)


@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_strings_larger_than_a_piece_are_read_once(
    tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = np.array([b"%d" % i for i in range(1000)], object).reshape(20, 50)
    ckptfmt.save(tmp_path / "m", {"w": words})
    with ckptfmt.open(tmp_path / "m", backend=backend) as ckpt:
        (tensor,) = outgoing(ckpt)
        assert (
            np.concatenate([each.ravel() for each in tensor.pieces(100)]).tolist() == words.ravel().tolist()
        )
        read = tensor.reader()
        monkeypatch.setattr(type(ckpt), "__getitem__", None)  # nothing is read again
        assert read(((3, 4), (2, 4))).tolist() == [[b"152", b"153"]]


@pytest.mark.parametrize("name", ["model.ckpt", "model.ckpt-1000", "model.index", "MODEL.CKPT"])
def test_names_of_checkpoints_are_recognised(source: Path, tmp_path: Path, name: str) -> None:
    written = ckptfmt.convert(source, tmp_path / "out" / name)
    assert written.format == "checkpoint"
    with ckptfmt.open(tmp_path / "out" / name) as ckpt:
        assert set(ckpt) == set(VALUES)


def test_a_stream_is_written_to_as_it_is(source: Path, target: Path) -> None:
    ckptfmt.convert(source, target)
    command = (
        f"import ckptfmt; ckptfmt.convert({str(source)!r}, '/dev/stdout', to='safetensors', resume=True)"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == target.read_bytes()


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.pt", "w.msgpack", "w.ckpt", "w.kerchunk.json"])
def test_no_tensors_are_written_and_read_back(tmp_path: Path, name: str) -> None:
    """A SavedModel without variables is converted to a file that opens."""
    if name == "w.kerchunk.json":
        pytest.importorskip("zarr", reason="zarr reads reference files, and is not installed")
    written = ckptfmt.convert({}, tmp_path / name, verify=True)
    with ckptfmt.open_tensors(written.files[0].removesuffix(".index")) as tensors:
        assert len(tensors) == 0


@pytest.mark.parametrize(
    ("cast", "remarks"),
    [
        ("int8", ("cast to int8: values that do not fit wrap around",)),
        (
            "float16",
            ("cast to float16: values are rounded, and those that are too large become infinite",),
        ),
        (
            "float8_e4m3fn",
            ("cast to float8_e4m3fn: values are rounded, and those that are too large become NaN",),
        ),
        ("float64", ()),
        ("int64", ()),
    ],
)
def test_a_cast_that_may_change_values_is_remarked(
    cast: str, remarks: tuple[str, ...], tmp_path: Path
) -> None:
    values = {"step": np.array([300, 1], np.int32), "w": np.array([1e30, 1.0], np.float32)}
    assert ckptfmt.convert(values, tmp_path / "new.ckpt", cast=cast).remarks == remarks
