"""Event files hold what TensorFlow's ``summary_iterator`` and TensorBoard's ``EventAccumulator`` find."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import compat
from ckptfmt.proto import messages
from tests.support.corpus import CORPUS, load_manifest
from tests.support.event_log import EVENTS, scalars_by_columns, scalars_by_protobuf

pytestmark = pytest.mark.tensorflow

FILES = [
    *(pytest.param(path, id=f"{path.parent.name}-{i}") for i, path in enumerate(sorted(EVENTS.glob("*/*")))),
    *(
        pytest.param(CORPUS / entry["path"], id=entry["name"], marks=pytest.mark.corpus)
        for entry in load_manifest()
        if entry["kind"] == "events"
    ),
]


def theirs(tensorflow: ModuleType, path: Path) -> list[Any]:
    # Exhaust the iterator, which owns a descriptor until then.
    return list(tensorflow.compat.v1.train.summary_iterator(str(path)))


@pytest.mark.parametrize("path", FILES)
def test_events_are_those_of_summary_iterator(tensorflow: ModuleType, path: Path) -> None:
    wanted = [event.SerializeToString(deterministic=True) for event in theirs(tensorflow, path)]
    assert [event.SerializeToString(deterministic=True) for event in ckptfmt.open_events(path)] == wanted
    assert ckptfmt.open_events(path).num_events == len(wanted)


@pytest.mark.parametrize("path", FILES[:3])
def test_code_that_used_summary_iterator_finds_the_same(tensorflow: ModuleType, path: Path) -> None:
    def found(train: Any, to_array: Any) -> list[tuple[Any, ...]]:
        return [
            (event.step, event.wall_time, value.tag, to_array(value.tensor).tolist())
            for event in train.summary_iterator(str(path))
            for value in event.summary.value
            if value.HasField("tensor")
        ]

    wanted = found(tensorflow.compat.v1.train, tensorflow.make_ndarray)
    assert wanted
    assert found(compat, ckptfmt.to_array) == wanted


@pytest.mark.parametrize("path", FILES)
def test_scalars_are_those_of_summary_iterator(tensorflow: ModuleType, path: Path) -> None:
    events = theirs(tensorflow, path)
    assert scalars_by_columns(ckptfmt.open_events(path)) == scalars_by_protobuf(events)


@pytest.fixture(scope="module")
def accumulator(tensorflow: ModuleType) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
        )


@pytest.mark.parametrize("path", FILES)
def test_everything_is_what_event_accumulator_finds(accumulator: Any, path: Path) -> None:
    names = ("scalars", "tensors", "images", "audio", "histograms", "compressedHistograms")
    theirs = accumulator.EventAccumulator(str(path), size_guidance=dict.fromkeys(names, 0))
    theirs.purge_orphaned_data = False  # of a restarted run it would drop what was written before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.Reload()
    events = ckptfmt.open_events(path)
    tags = theirs.Tags()

    simple = {tag: series for tag, series in events.scalars.items() if not series.metadata.plugin}
    assert set(tags["scalars"]) == set(simple)
    for tag, series in simple.items():
        assert [(e.step, e.wall_time, e.value) for e in theirs.Scalars(tag)] == list(
            zip(series.steps.tolist(), series.wall_times.tolist(), series.values.tolist(), strict=True)
        )

    assert set(tags["histograms"]) <= set(events.histograms)
    for tag in tags["histograms"]:
        for event, step, histogram in zip(
            theirs.Histograms(tag), events.histograms[tag].steps, events.histograms[tag], strict=True
        ):
            value = event.histogram_value
            assert event.step == step
            assert (value.min, value.max, value.num) == (histogram.min, histogram.max, histogram.num)
            assert (value.sum, value.sum_squares) == (histogram.sum, histogram.sum_squares)
            assert value.bucket_limit == histogram.right.tolist()
            assert value.bucket == histogram.counts.tolist()

    assert set(tags["images"]) <= set(events.images)
    for tag in tags["images"]:
        images = [image for (image,) in events.images[tag]]
        assert [(e.encoded_image_string, e.width, e.height) for e in theirs.Images(tag)] == [
            (image.data, image.width, image.height) for image in images
        ]
    assert set(tags["audio"]) <= set(events.audio)
    for tag in tags["audio"]:
        clips = [clip for (clip,) in events.audio[tag]]
        assert [
            (e.encoded_audio_string, e.content_type, e.sample_rate, e.length_frames)
            for e in theirs.Audio(tag)
        ] == [(c.data, c.content_type, c.sample_rate, c.length_frames) for c in clips]

    kinds = events.tags
    for tag in tags["tensors"]:
        wanted = theirs.Tensors(tag)
        if tag not in kinds:
            assert theirs.SummaryMetadata(tag).plugin_data.plugin_name == "hparams"
            continue
        series = getattr(events, kinds[tag])[tag]
        assert [(e.step, e.wall_time) for e in wanted] == list(
            zip(series.steps.tolist(), series.wall_times.tolist(), strict=True)
        )
        arrays = [ckptfmt.to_array(e.tensor_proto.SerializeToString()) for e in wanted]
        for array, value in zip(arrays, series, strict=True):
            if kinds[tag] in ("scalars", "tensors"):
                assert np.array_equal(array, value)
            elif kinds[tag] == "histograms":
                assert np.array_equal(array, np.stack([value.left, value.right, value.counts], axis=1))
            elif kinds[tag] == "images":
                assert array[2:].tolist() == [image.data for image in value]
            elif kinds[tag] == "audio":
                assert array[:, 0].tolist() == [clip.data for clip in value]
            else:
                assert [item.decode() for item in array.flat] == list(value.flat)
    known = {
        tag for group in (tags["scalars"], tags["histograms"], tags["images"], tags["audio"]) for tag in group
    }
    hparams = {tag for tag in tags["tensors"] if tag.startswith("_hparams_/")}
    assert (known | set(tags["tensors"])) - hparams == set(kinds)
    assert len(events.graphs) >= bool(tags["graph"]) - bool(tags["meta_graph"])
    assert bool(tags["meta_graph"]) == bool(events.meta_graphs)
    assert set(tags["run_metadata"]) == {each.tag for each in events.run_metadata if each.tag not in kinds}


def test_run_metadata_parses_as_tensorflows_message(tensorflow: ModuleType) -> None:
    for case in ("tf1", "tf2"):
        (found,) = ckptfmt.open_events(EVENTS / case).run_metadata
        metadata = tensorflow.compat.v1.RunMetadata.FromString(found.data)
        assert metadata.ByteSize() == len(found.data)
        assert (len(metadata.step_stats.dev_stats) > 0) == (case == "tf1")
        assert str(found.message) == str(metadata)


def test_graphs_have_the_nodes_that_were_written(tensorflow: ModuleType) -> None:
    (path,) = (EVENTS / "tf1").iterdir()
    wanted = [
        tensorflow.compat.v1.GraphDef.FromString(event.graph_def)
        for event in theirs(tensorflow, path)
        if event.WhichOneof("what") == "graph_def"
    ]
    found = ckptfmt.open_events(path).graphs
    assert [list(graph) for graph in found] == [[node.name for node in g.node] for g in wanted]


def test_tensors_without_a_tag_have_the_name_of_their_node_as_in_tensorboard(
    accumulator: Any, tmp_path: Path
) -> None:
    path = tmp_path / "events.out.tfevents.1.h"
    with ckptfmt.RecordWriter(path) as writer:
        writer.write(messages.Event(wall_time=1, file_version="brain.Event:1").SerializeToString())
        for step in range(3):
            for name in ("a", "scope/b"):
                event = messages.Event(wall_time=2.0 + step, step=step)
                tensor = ckptfmt.to_proto(np.array([step, len(name)], np.float32))
                event.summary.value.add(node_name=name, tensor=tensor)
                writer.write(event.SerializeToString())
    theirs = accumulator.EventAccumulator(str(path)).Reload()
    with ckptfmt.open_events(path) as events:
        assert list(events.tensors) == theirs.Tags()["tensors"] == ["a", "scope/b"]
        for tag, series in events.tensors.items():
            assert series.steps.tolist() == [event.step for event in theirs.Tensors(tag)]
            assert [values.tolist() for values in series] == [[step, len(tag)] for step in range(3)]
