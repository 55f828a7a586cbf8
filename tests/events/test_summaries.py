"""Every kind of value that TensorFlow logs, and images as pixels."""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    CorruptError,
    LimitError,
    MissingDependencyError,
)
from tests.support.event_log import (
    EVENTS,
)


def pixels(step: int) -> np.ndarray:
    return (np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3) * (step + 1) % 256).astype(np.uint8)


def test_every_kind_of_tensorflow_1() -> None:
    events = ckptfmt.open_events(EVENTS / "tf1")
    assert (events.version, events.writer) == ("brain.Event:2", "tensorflow.core.util.events_writer")
    assert events.scalars["loss"].values.tolist() == [0, 0.25, 0.5, 0.75, 1]
    histogram = events.histograms["weights"][4]
    assert (histogram.min, histogram.max, histogram.num, histogram.sum) == (0, 19, 20, 190)
    assert histogram.counts.sum() == 20
    assert (histogram.left[1:] == histogram.right[:-1]).all()
    (image,) = events.images["pictures/image/1"][2]
    assert (image.format, image.height, image.width, image.channels) == ("png", 3, 4, 3)
    (clip,) = events.audio["sound/audio/0"][1]
    assert (clip.content_type, clip.sample_rate, clip.num_channels, clip.length_frames) == (
        "audio/wav",
        8000,
        1,
        20,
    )
    assert clip.data.startswith(b"RIFF")
    assert events.text["words"][1].item() == "0.250000"
    assert events.tensors["matrix"][4].tolist() == [[1, 1], [1, 1]]
    assert "x" in events.graphs[0]
    assert "loss" in events.meta_graphs[0].graph
    assert [(log.status, log.checkpoint_path) for log in events.session_logs] == [
        ("START", ""),
        ("CHECKPOINT", "ckpt-1"),
        ("STOP", ""),
    ]
    (metadata,) = events.run_metadata
    assert (metadata.tag, metadata.step) == ("step1", 1)
    (device,) = metadata.message.step_stats.dev_stats
    columns = metadata.to_columns()
    assert columns["node"].tolist() == [node.node_name for node in device.node_stats]
    assert {"pictures", "loss"} <= set(columns["node"])
    assert set(columns["device"]) == {device.device}
    assert all(label.startswith(node) for node, label in zip(columns["node"], columns["label"], strict=True))
    ends = [node.all_start_micros + node.all_end_rel_micros for node in device.node_stats]
    assert (columns["start_micros"] + columns["duration_micros"]).tolist() == ends
    assert columns["thread"].tolist() == [node.thread_id for node in device.node_stats]
    assert [column.dtype for column in columns.values()] == [
        *[object] * 3,
        np.uint32,
        *[np.int64] * 3,
    ]
    assert (abs(columns["duration_nanos"] / 1000 - columns["duration_micros"]) <= 1).all()
    assert events.hparams is None


def test_every_kind_of_tensorflow_2() -> None:
    events = ckptfmt.open_events(EVENTS / "tf2")
    assert events.scalars["accuracy"].values.tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert events.scalars["accuracy"].metadata.description == "of the **test** set"
    histogram = events.histograms["weights"][4]
    assert (histogram.min, histogram.max, histogram.num, histogram.sum) == (0, 76, 20, None)
    assert len(histogram.counts) == 7
    images = events.images["pictures"][2]
    assert [(each.format, each.height, each.width) for each in images] == [("png", 3, 4)] * 2
    assert [clip.content_type for clip in events.audio["sound"][1]] == ["audio/wav"] * 2
    assert events.text["words"][1].item() == "1"
    assert events.text["table"][2].tolist() == [["a", "b"], ["ü", "2"]]
    assert events.tensors["matrix"][3].dtype == np.float64
    assert events.tensors["number"][3] == np.float32(3)
    assert events.tensors["number"].steps.tolist() == [0, 1, 2, 3, 4]
    hparams = events.hparams
    assert hparams is not None
    assert hparams.values == {"units": 16.0, "rate": 0.5, "optimizer": "adam", "bias": True}
    assert hparams.group_name == "trial"
    (metadata,) = events.run_metadata
    assert metadata.step == 3
    assert len(metadata.message.function_graphs)
    assert not metadata.to_columns()["node"].size
    assert len(events.graphs) == 1


def test_images_are_decoded_through_pillow() -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    for case, tag in (("tf1", "pictures/image/0"), ("tf2", "pictures")):
        for step, images in enumerate(ckptfmt.open_events(EVENTS / case).images[tag]):
            assert np.array_equal(images[0].decode(), pixels(step)[0])
    damaged = ckptfmt.Image(images[0].data[:40], "png", 3, 4, 3)
    with pytest.raises(CorruptError, match="image of 40 bytes"):
        damaged.decode()
    with pytest.raises(ckptfmt.errors.LimitError):
        images[0].decode(max_pixels=11)


def test_an_image_knows_its_file_for_errors() -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    for case, tag in (("tf1", "pictures/image/0"), ("tf2", "pictures")):
        (name,) = ckptfmt.open_events(EVENTS / case).files
        image = ckptfmt.open_events(EVENTS / case).images[tag][0][0]
        assert image.file == name
        for damaged, limit in ((image, 11), (dataclasses.replace(image, data=image.data[:40]), 12)):
            with pytest.raises((CorruptError, LimitError)) as caught:
                damaged.decode(max_pixels=limit)
            assert caught.value.file == name
        # Where an image was read is no part of what it is.
        same = dataclasses.replace(image, file=None)
        assert (same, hash(same), repr(same)) == (image, hash(image), repr(image))


def png(width: int, height: int) -> bytes:
    """A black image of one bit a pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(bytes((1 + -(-width // 8)) * height), 1)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_large_image_is_an_error_with_its_limit() -> None:
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    # Enough pixels for Pillow to warn, and warnings are errors here.
    image = ckptfmt.Image(png(10_000, 9_000), "png", 9_000, 10_000, 1)
    pixels = image.decode()
    assert (pixels.shape, pixels.dtype) == ((9_000, 10_000), bool)
    with pytest.raises(LimitError) as caught:
        image.decode(max_pixels=1000)
    assert (caught.value.limit, caught.value.asked) == (1000, 90_000_000)
    large = ckptfmt.Image(png(14_000, 14_000), "png", 14_000, 14_000, 1)
    with pytest.raises(LimitError) as caught:
        large.decode(max_pixels=1 << 30)
    assert (caught.value.limit, caught.value.asked) == (2 * pillow.MAX_IMAGE_PIXELS, 14_000 * 14_000)


def test_without_pillow_images_are_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    image = ckptfmt.open_events(EVENTS / "tf2").images["pictures"][0][0]
    with pytest.raises(MissingDependencyError, match="images"):
        image.decode()


def test_an_image_of_an_unknown_format_says_so_and_no_more() -> None:
    pytest.importorskip("PIL")
    image = ckptfmt.types.Image(b"neither PNG nor any other", "", 1, 1, None)
    with pytest.raises(CorruptError, match=r"^image of 25 bytes: unknown format$"):
        image.decode()
