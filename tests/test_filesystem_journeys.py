"""The main journeys on file systems that are neither local nor mapped: no reader may reach around them.

In two worlds the files are in memory, at paths that do not exist on disk, and any question to the operating
system is an error. In the third one they are on disk and may not be mapped; in the fourth they are on a disk
whose files cannot be mapped, and no option says so.
"""

from __future__ import annotations

import builtins
import errno
import glob
import gzip
import importlib
import mmap
import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    AlreadyExistsError,
    CheckpointNotFoundError,
    CorruptError,
    PathNotFoundError,
    UnsupportedError,
)
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.proto import keras_metadata, messages
from ckptfmt.record.frame import encode_frame
from tests.support.command_line import run
from tests.support.event_log import frame, scalar
from tests.support.golden import Golden, cases
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.split_writer import Split

# Before anything is forbidden: modules that are loaded at first need.
for module in pkgutil.walk_packages(ckptfmt.__path__, "ckptfmt."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for name in ("cramjam", "difflib", "google.protobuf.text_format", "json", "ml_dtypes", "tomllib"):
    pytest.importorskip(name) if name == "tomllib" else importlib.import_module(name)

REPOSITORY = Path(__file__).parent.parent

NOWHERE = "/nowhere/on/this/disk"
URL = "memory://bucket/nowhere"
"""Where files in memory lie."""

PLAN = "version = 1\n[[step]]\ndrop = 'save_counter.*'\n"

LAYERS = keras_metadata.SavedMetadata()
LAYERS.nodes.add(
    node_id=1, node_path="root.layer", identifier="_tf_keras_layer", metadata='{"class_name": "Dense"}'
)


def framed(*records: bytes) -> bytes:
    return b"".join(
        head + record + foot for record in records for head, foot in [encode_frame(memoryview(record))]
    )


def read_files() -> dict[str, bytes]:
    """Every file of the journeys, by its path below the root."""
    files = {
        f"{top}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for top, folder in {
            "golden": REPOSITORY / "tests" / "data" / "golden",
            "events": REPOSITORY / "tests" / "data" / "events",
            "digits": REPOSITORY / "examples" / "digits",
        }.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    }
    model = "golden/saved_model/model"
    files[f"{model}/keras_metadata.pb"] = LAYERS.SerializeToString()
    files[f"{model}/assets.extra/notes.txt"] = b"notes"
    message = messages.SavedModel.FromString(files[f"{model}/saved_model.pb"])
    files["split/saved_model.cpb"] = Split(message).content()
    files["text/saved_model.pbtxt"] = str(message).encode()
    files["graph.pb"] = message.meta_graphs[0].graph_def.SerializeToString()
    files["plan.toml"] = PLAN.encode()
    files["records/train-9.tfrecord"] = framed(b"one", b"two")
    files["records/train-10.tfrecord"] = framed(b"three")
    files["records/deep/er/train.tfrecord.gz"] = gzip.compress(framed(b"four"))
    return files


FILES = read_files()


class World:
    """A file system with FILES, and how openers are told to use it."""

    def __init__(self, root: str, **options: Any) -> None:
        self.root = root
        self.options = options
        self.memory: MemoryFilesystem | None = options.get("fs")

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def append(self, name: str, data: bytes) -> None:
        """Let a file grow, or appear."""
        if self.memory is not None:
            path = self.path(name)
            before = self.memory.open(path).content if self.memory.path_type(path) else b""
            self.memory.write(path, before + data)
        else:
            with open(self.path(name), "ab") as file:
                file.write(data)


PACKAGE = os.path.dirname(ckptfmt.__file__)


def is_ours(frame: FrameType | None) -> bool:
    """Whether this package has called, at whatever distance."""
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame is not None


def forbid(patch: pytest.MonkeyPatch, module: ModuleType, name: str) -> None:
    """Let a function of the operating system fail: for this package always, for others below NOWHERE."""
    real = getattr(module, name)

    def refuse(*args: Any, **options: Any) -> Any:
        if is_ours(sys._getframe(1)) or (args and str(args[0]).startswith((NOWHERE, URL))):
            raise AssertionError(f"{module.__name__}.{name}{args!r} reaches around the file system")
        return real(*args, **options)

    patch.setattr(module, name, refuse)


@pytest.fixture(params=["views", "copies", "pread", "unmappable"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Each world, and no way around it."""
    if request.param in ("pread", "unmappable"):
        for name, content in FILES.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ckptfmt.storage.local_file.MAPPED_FROM", 1)  # the files here are small
        if request.param == "pread":

            def forbidden(*_: object, **__: object) -> None:
                raise AssertionError("a file is mapped")

            patch.setattr(mmap, "mmap", forbidden)
            yield World(str(tmp_path), backend="pread")
            return
        if request.param == "unmappable":

            def refuse(*_: object, **__: object) -> None:
                raise OSError(errno.ENODEV, "No such device")

            patch.setattr(mmap, "mmap", refuse)
            yield World(str(tmp_path))
            return
        root = NOWHERE if request.param == "views" else URL
        files = {f"{root}/{name}": content for name, content in FILES.items()}
        fs = MemoryFilesystem(files, has_views=request.param == "views")
        for name in ("open", "stat", "lstat", "scandir", "listdir", "walk", "readlink"):
            forbid(patch, os, name)
        forbid(patch, glob, "glob")
        forbid(patch, mmap, "mmap")
        forbid(patch, builtins, "open")
        yield World(root, fs=fs)


def test_nothing_gets_around_this_test(world: World) -> None:
    if "fs" not in world.options:
        with pytest.raises((AssertionError, OSError)):
            mmap.mmap(-1, 1)
        if "backend" in world.options:
            with pytest.raises(AssertionError, match="mapped"):
                ckptfmt.open(world.path("digits"))
        return
    for reach in (
        lambda: ckptfmt.open("examples/digits"),
        lambda: ckptfmt.read_graph(world.path("graph.pb")),
        lambda: ckptfmt.open_events("."),
        lambda: os.path.exists(NOWHERE),
        lambda: Path(NOWHERE).is_dir(),
    ):
        with pytest.raises(AssertionError, match="reaches around the file system"):
            reach()


# --- checkpoints --------------------------------------------------------------------------------------------

each_golden = pytest.mark.parametrize("golden", cases(), ids=str)


def place_of(golden: Golden) -> str:
    return f"golden/{golden.path.relative_to(golden.folder.parent).as_posix()}"


@each_golden
def test_every_checkpoint_is_read_and_verified(world: World, golden: Golden) -> None:
    with ckptfmt.open(world.path(place_of(golden)), **world.options) as ckpt:
        assert ckpt.format == golden.format
        assert list(ckpt) == [tensor.name for tensor in golden.tensors.values()]
        whole = [tensor for tensor in golden.tensors.values() if tensor.has_value]
        assert ckpt.verify().tensors_checked == len(whole)
        arrays = ckpt.read([tensor.name for tensor in whole])
        for tensor in whole:
            assert ckpt.entries[tensor.name].shape == tensor.shape
            assert ckpt[tensor.name].shape == arrays[tensor.name].shape == tensor.shape
            if ckpt[tensor.name].dtype.hasobject or tensor.cast:
                continue
            assert ckpt[tensor.name].tobytes() == tensor.expected().tobytes()
            assert arrays[tensor.name].tobytes() == tensor.expected().tobytes()


PATHS = {
    "a prefix": ("digits/ckpt-9", "digits/ckpt-9"),
    "an index": ("digits/ckpt-9.index", "digits/ckpt-9"),
    "a data file": ("digits/ckpt-9.data-00000-of-00001", "digits/ckpt-9"),
    "a directory": ("digits", "digits/ckpt-10"),
    "a state file": ("digits/checkpoint", "digits/ckpt-10"),
    "a directory below": ("golden/object", None),
    "a state file of another machine": ("golden/saver_absolute", "golden/saver_absolute/model.ckpt-00000007"),
    "a meta graph": ("golden/saver/model.ckpt-20.meta", "golden/saver/model.ckpt-20"),
    "a SavedModel": ("golden/saved_model/model", "golden/saved_model/model/variables/variables"),
    "its variables": ("golden/saved_model/model/variables", "golden/saved_model/model/variables/variables"),
    "a directory of one checkpoint": ("golden/sharded", "golden/sharded/ckpt"),
    "a V1 file": ("golden/v1_whole/v1.ckpt", "golden/v1_whole/v1.ckpt"),
    "a V1 directory": ("golden/v1_saver", "golden/v1_saver/model.ckpt-1"),
    "V1 shards": ("golden/v1_sharded/model.ckpt-2", "golden/v1_sharded/model.ckpt-2-?????-of-00002"),
    "a V1 shard": (
        "golden/v1_sharded/model.ckpt-2-00001-of-00002",
        "golden/v1_sharded/model.ckpt-2-?????-of-00002",
    ),
}


@pytest.mark.parametrize(("name", "prefix"), PATHS.values(), ids=PATHS)
def test_every_kind_of_path_leads_to_its_checkpoint(world: World, name: str, prefix: str | None) -> None:
    if prefix is None:
        with pytest.raises(CheckpointNotFoundError, match="checkpoints"):
            ckptfmt.open(world.path(name), **world.options)
        return
    with ckptfmt.open(world.path(name), **world.options) as ckpt:
        assert ckpt.prefix == world.path(prefix)
        assert ckpt.verify().ok


def test_slices_object_graphs_and_views(world: World) -> None:
    with ckptfmt.open(world.path("digits"), **world.options) as ckpt:
        name = "optimizer/_trainable_variables/6/.ATTRIBUTES/VARIABLE_VALUE"
        np.testing.assert_array_equal(ckpt.slice(name)[1:3], ckpt[name][1:3])
        assert ckpt.object_graph is not None
        assert ckpt.object_graph.nodes
        np.testing.assert_array_equal(ckpt.by_object_path()[name.partition("/.ATTRIBUTES")[0]], ckpt[name])
        assert ckpt.select("epoch/*").read().keys() == {"epoch/.ATTRIBUTES/VARIABLE_VALUE"}
    with ckptfmt.open(world.path("golden/sliced_shapes/ckpt"), **world.options) as ckpt:
        for name in ckpt:
            np.testing.assert_array_equal(ckpt.slice(name)[...], ckpt[name])


def test_state_files_are_read(world: World) -> None:
    for name, latest in (("saver", "model.ckpt-20"), ("saver_absolute", "model.ckpt-00000007")):
        directory = world.path(f"golden/{name}")
        state = ckptfmt.read_checkpoint_state(directory, **world.options)
        assert state is not None
        assert state.latest == f"{directory}/{latest}"
        assert len(state.existing) == 2
        assert ckptfmt.latest_checkpoint(directory, **world.options) == f"{directory}/{latest}"
    assert ckptfmt.read_checkpoint_state(world.path("golden"), **world.options) is None
    assert ckptfmt.latest_checkpoint(world.path("missing"), **world.options) is None


MISSING = {
    "nothing at all": ("missing", "no such file or directory|not found|no checkpoint"),
    "a typo": ("digits/ckpt-8", "ckpt-9"),
    "a directory without checkpoints": ("records", "no checkpoint"),
    "a directory of directories": ("golden", "golden/"),
}


@pytest.mark.parametrize(("name", "hint"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_told_with_what_is_near(world: World, name: str, hint: str) -> None:
    with pytest.raises(CheckpointNotFoundError, match=f"(?i){hint}") as caught:
        ckptfmt.open(world.path(name), **world.options)
    assert (caught.value.file or "").startswith(world.root)


def test_what_is_no_checkpoint_says_what_it_is(world: World) -> None:
    with pytest.raises((CorruptError, UnsupportedError), match=r"ckptfmt\.read_graph") as caught:
        ckptfmt.open(world.path("graph.pb"), **world.options)
    assert caught.value.file == world.path("graph.pb")


def test_a_shard_that_is_missing_is_told(world: World) -> None:
    name = "golden/sharded/ckpt.data-00001-of-00003"
    if world.memory is not None:
        world.memory.remove(world.path(name))
    else:
        os.unlink(world.path(name))
    ckpt = ckptfmt.open(world.path("golden/sharded/ckpt"), **world.options)
    with pytest.raises(CheckpointNotFoundError) as caught:
        ckpt.read()
    assert caught.value.file == world.path(name)


# --- graphs and models --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("graph.pb", "golden/saver/model.ckpt-20.meta", "golden/saved_model/model"),
        *("golden/saved_model/model/saved_model.pb", "text", "text/saved_model.pbtxt", "split"),
    ],
)
def test_graphs_are_read(world: World, name: str) -> None:
    assert len(ckptfmt.read_graph(world.path(name), **world.options)) > 3
    if name != "graph.pb":
        meta = ckptfmt.read_meta_graph(world.path(name), **world.options)
        assert len(meta.graph) > 3


@pytest.mark.parametrize("name", ["golden/saved_model/model", "golden/saved_model/model/saved_model.pb"])
def test_a_saved_model_is_read_with_all_that_lies_beside_it(world: World, name: str) -> None:
    with ckptfmt.open_saved_model(world.path(name), **world.options) as model:
        folder = world.path("golden/saved_model/model")
        assert model.directory == folder
        assert list(model.signatures) == ["serving_default"]
        assert model.variables["w"].shape == (2, 3)
        assert [variable.key for variable in model.object_variables if variable.name == "step"] == [
            "step/.ATTRIBUTES/VARIABLE_VALUE"
        ]
        asset = model.assets["vocabulary.txt"]
        assert (asset.path, asset.exists) == (f"{folder}/assets/vocabulary.txt", True)
        assert model.assets_extra == {"notes.txt": f"{folder}/assets.extra/notes.txt"}
        assert model.fingerprint is not None
        assert [layer.class_name for layer in model.keras_layers] == ["Dense"]
        assert model.functions


@pytest.mark.parametrize("name", ["text", "split"])
def test_a_saved_model_without_variables_is_read(world: World, name: str) -> None:
    with ckptfmt.open_saved_model(world.path(name), **world.options) as model:
        assert model.checkpoint is None
        assert not model.assets["vocabulary.txt"].exists
        assert model.assets_extra == {}
        assert model.keras_layers == ()


def test_a_graph_is_frozen(world: World) -> None:
    meta = ckptfmt.read_meta_graph(world.path("golden/saver/model.ckpt-20.meta"), **world.options)
    with ckptfmt.open(world.path("golden/saver/model.ckpt-20"), **world.options) as ckpt:
        node = next(
            n for n in meta.graph.values() if n.op in ("VarHandleOp", "VariableV2") and n.name in ckpt
        )
        reads = [each.name for each in meta.graph.values() if each.op in ("ReadVariableOp", "Identity")]
        output = next(name for name in reads if name.startswith(f"{node.name}/"))
        frozen = ckptfmt.freeze(meta, ckpt, output)
        assert {"Const"} <= {each.op for each in frozen.values()}
        values = [frozen.constants[name] for name, each in frozen.items() if each.op == "Const"]
        assert any(
            value.shape == ckpt[node.name].shape and (value == ckpt[node.name]).all() for value in values
        )


@pytest.mark.parametrize("read", [ckptfmt.read_graph, ckptfmt.read_meta_graph, ckptfmt.open_saved_model])
@pytest.mark.parametrize("name", ["missing", "missing/saved_model.pb", "records"])
def test_a_graph_that_is_missing_is_told(world: World, read: Any, name: str) -> None:
    with pytest.raises(PathNotFoundError) as caught:
        read(world.path(name), **world.options)
    assert (caught.value.file or "").startswith(world.path(name))


# --- matching and plans -------------------------------------------------------------------------------------


def test_two_checkpoints_are_matched_by_their_paths(world: World) -> None:
    match = ckptfmt.match(world.path("digits/ckpt-9"), world.path("digits"), **world.options)
    assert match.matched
    assert not match.missing
    assert not match.unused
    match = ckptfmt.match(
        world.path("golden/saver/model.ckpt-20"),
        world.path("golden/saver/model.ckpt-20.meta"),
        **world.options,
    )
    assert match.matched
    assert not match.missing
    with pytest.raises(CheckpointNotFoundError):
        ckptfmt.match(world.path("missing"), world.path("digits"), **world.options)
    with pytest.raises(PathNotFoundError):
        ckptfmt.match(world.path("digits"), world.path("missing"), **world.options)


def test_a_checkpoint_is_matched_with_safetensors(world: World) -> None:
    save = pytest.importorskip("safetensors.numpy").save
    with ckptfmt.open(world.path("golden/saver/model.ckpt-20"), **world.options) as ckpt:
        tensors = {name: np.array(ckpt[name]) for name in ckpt}
    world.append("weights.safetensors", save(tensors))
    match = ckptfmt.match(
        world.path("golden/saver/model.ckpt-20"), world.path("weights.safetensors"), **world.options
    )
    assert set(match.matched) == set(tensors)


def test_a_plan_is_read(world: World) -> None:
    plan = ckptfmt.Plan.read(world.path("plan.toml"), **world.options)
    with ckptfmt.open(world.path("digits"), **world.options) as ckpt:
        view = ckpt.apply(plan)
        assert set(ckpt) - set(view) == {"save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
        assert list(ckpt.apply(world.path("plan.toml"), **world.options)) == list(view)
    with pytest.raises(PathNotFoundError) as caught:
        ckptfmt.Plan.read(world.path("missing.toml"), **world.options)
    assert caught.value.file == world.path("missing.toml")


# --- events and records -------------------------------------------------------------------------------------


def test_runs_are_found_and_their_events_read(world: World) -> None:
    runs = ckptfmt.find_runs(world.path("events"), **world.options)
    assert runs == {name: world.path(f"events/{name}") for name in ("restarted", "tf1", "tf2")}
    for name, count in (("restarted", 12), ("tf1", 13), ("tf2", 49)):
        events = ckptfmt.open_events(runs[name], **world.options)
        assert sum(1 for _ in events) == events.num_events == count
        assert len(events.scalars["loss"]) in (5, 10)
        for tags in (events.images, events.audio, events.histograms, events.text, events.tensors):
            assert all(value is not None for series in tags.values() for value in series)
        assert events.damage == []
    with pytest.raises(PathNotFoundError, match="in 3 below it"):
        ckptfmt.open_events(world.path("events"), **world.options)
    for find in (ckptfmt.find_runs, ckptfmt.open_events):
        with pytest.raises(PathNotFoundError):
            find(world.path("missing"), **world.options)


def test_a_file_of_records_is_no_run(world: World) -> None:
    with pytest.raises(UnsupportedError, match="open_records"):
        ckptfmt.open_events(world.path("records/train-9.tfrecord"), **world.options)


def test_a_run_is_followed_while_it_grows_and_goes_on_in_another_file(world: World) -> None:
    first, second = (f"events/live/events.out.tfevents.170000000{number}.host" for number in (1, 2))
    version = frame(messages.Event(file_version="brain.Event:2").SerializeToString())

    def event(step: int) -> bytes:
        return frame(scalar("loss", step / 2, step).SerializeToString())

    if world.memory is None:
        os.mkdir(world.path("events/live"))
    world.append(first, version + event(0))
    later = [(first, event(1)[:9]), (first, event(1)[9:]), (second, version + event(2))]

    def grow_or_stop() -> bool:
        if not later:
            return True
        world.append(*later.pop(0))
        return False

    log = ckptfmt.open_events(world.path("events/live"), **world.options)
    steps = [each.step for each in log.follow(poll=0.001, stop=grow_or_stop) if not each.file_version]
    assert steps == [0, 1, 2]
    assert log.scalars["loss"].steps.tolist() == [0, 1]  # of the files that were there when it was opened
    assert log.refresh() == 2
    world.append(second, event(3))
    assert log.refresh() == 1
    assert log.scalars["loss"].steps.tolist() == [0, 1, 2, 3]


def test_records_of_a_pattern_are_read_and_scanned(world: World) -> None:
    files = [world.path(f"records/train-{number}.tfrecord") for number in (9, 10)]
    for given in (world.path("records/train-*"), files):
        records = ckptfmt.open_records(given, **world.options)
        assert list(records.files) == files
        assert [bytes(record.data) for record in records] == [b"one", b"two", b"three"]
        index = records.scan()
        assert len(index) == 3
        assert bytes(index[2].data) == b"three"
    deep = ckptfmt.open_records(world.path("records/**/*.gz"), **world.options)
    assert [bytes(record.data) for record in deep] == [b"four"]
    for missing in ("records/test-*", "records/test.tfrecord"):
        with pytest.raises(PathNotFoundError):
            ckptfmt.open_records(world.path(missing), **world.options)


def test_records_are_followed_while_they_grow(world: World) -> None:
    name = "records/train-9.tfrecord"
    later = [framed(b"more")[:5], framed(b"more")[5:], framed(b"last")]

    def grow_or_stop() -> bool:
        if not later:
            return True
        world.append(name, later.pop(0))
        return False

    records = ckptfmt.open_records(world.path(name), **world.options)
    found = [bytes(record.data) for record in records.follow(poll=0.001, stop=grow_or_stop)]
    assert found == [b"one", b"two", b"more", b"last"]


# --- without options ----------------------------------------------------------------------------------------


def test_the_command_line_and_tensorflows_names_work_if_files_cannot_be_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(mmap, "mmap", refuse)
    for arguments in (
        ["ls", "digits"],
        ["show", "digits", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"],
        ["tree", "digits"],
        ["verify", "digits"],
        ["plan", "digits", "plan.toml"],
        ["match", "digits", "digits"],
        ["graph", "graph.pb"],
        ["model", "golden/saved_model/model"],
        ["events", "events/tf1"],
    ):
        assert run(*arguments).exit_code == 0, arguments
    assert ckptfmt.compat.latest_checkpoint("digits") is not None
    names = ckptfmt.compat.list_variables("digits")
    reader = ckptfmt.compat.load_checkpoint("digits")
    assert [reader.get_tensor(name).shape for name, _ in names if name != OBJECT_GRAPH_KEY] == [
        tuple(shape) for name, shape in names if name != OBJECT_GRAPH_KEY
    ]


# --- writing ------------------------------------------------------------------------------------------------


def test_files_are_written_where_the_file_system_is(world: World) -> None:
    options = {"fs": world.memory}  # writers have no backend
    plan = ckptfmt.Plan.parse(PLAN)
    plan.write(world.path("new.toml"), **options)
    assert ckptfmt.Plan.read(world.path("new.toml"), **world.options).to_toml() == plan.to_toml()
    graph = ckptfmt.read_graph(world.path("graph.pb"), **world.options)
    for name in ("new.pb", "new.pbtxt"):
        graph.write(world.path(name), **options)
        assert list(ckptfmt.read_graph(world.path(name), **world.options)) == list(graph)
    with ckptfmt.open_events(world.path("events/tf1"), **world.options) as events:
        events.write_scalars(world.path("new.csv"), **options)
        ckptfmt.write_runs({"run": events}, world.path("runs.jsonl"), **options)
        for write in (
            lambda **more: plan.write(world.path("new.toml"), **options, **more),
            lambda **more: graph.write(world.path("new.pb"), **options, **more),
            lambda **more: events.write_scalars(world.path("new.csv"), **options, **more),
            lambda **more: ckptfmt.write_runs({"run": events}, world.path("runs.jsonl"), **options, **more),
        ):
            with pytest.raises(AlreadyExistsError):
                write()
            write(overwrite=True)
