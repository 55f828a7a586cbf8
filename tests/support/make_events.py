"""Write the event files of tests/data/events.

Run as ``python -m tests.support.make_events`` with TensorFlow and TensorBoard installed. Tests compare the
files with what these two read (tests/reference/test_events.py), and without them with the values below.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hp

EVENTS = Path(__file__).parent.parent / "data" / "events"
STEPS = range(5)
tf1 = tf.compat.v1


def pixels(step: int) -> np.ndarray:
    """Return the two RGB images of a step."""
    return (np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3) * (step + 1) % 256).astype(np.uint8)


def tf1_kinds(folder: str) -> None:
    """Write every kind of summary of TensorFlow 1."""
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [], name="x")
        image = tf1.placeholder(tf.uint8, [2, 3, 4, 3], name="image")
        tf1.summary.scalar("loss", x)
        tf1.summary.scalar("accuracy", 1 - x)
        tf1.summary.histogram("weights", x * tf.range(20, dtype=tf.float32))
        tf1.summary.image("pictures", image)
        tf1.summary.audio("sound", tf.reshape(x * tf.linspace(-1.0, 1.0, 20), [1, 20, 1]), 8000.0)
        tf1.summary.text("words", tf1.strings.as_string(x))
        tf1.summary.tensor_summary("matrix", x * tf.ones([2, 2]))
        everything = tf1.summary.merge_all()
        writer = tf1.summary.FileWriter(folder, graph)
        writer.add_meta_graph(tf1.train.export_meta_graph())
        writer.add_session_log(tf1.SessionLog(status=tf1.SessionLog.START), 0)
        for step in STEPS:
            feed = {x: step / 4, image: pixels(step)}
            options = tf1.RunOptions(trace_level=tf1.RunOptions.SOFTWARE_TRACE)
            metadata = tf1.RunMetadata()
            writer.add_summary(session.run(everything, feed, options, metadata), step)
            if step == 1:
                writer.add_run_metadata(metadata, f"step{step}", step)
                log = tf1.SessionLog(status=tf1.SessionLog.CHECKPOINT, checkpoint_path="ckpt-1")
                writer.add_session_log(log, step)
        writer.add_session_log(tf1.SessionLog(status=tf1.SessionLog.STOP), 5)
        writer.close()


def tf2_kinds(folder: str) -> None:
    """Write every kind of summary of TensorFlow 2."""
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default():
        hp.hparams({"units": 16, "rate": 0.5, "optimizer": "adam", "bias": True}, trial_id="trial")
        for step in STEPS:
            tf.summary.scalar("loss", step / 4, step)
            tf.summary.scalar("accuracy", 1 - step / 4, step, description="of the **test** set")
            tf.summary.histogram("weights", step * np.arange(20, dtype=np.float32), step, buckets=7)
            tf.summary.image("pictures", pixels(step), step)
            clips = np.stack([np.linspace(-1, 1, 20, dtype=np.float32) * step / 4] * 2)[:, :, None]
            tf.summary.audio("sound", clips, 8000, step)
            tf.summary.text("words", str(step), step)
            tf.summary.text("table", [["a", "b"], ["ü", str(step)]], step)
            tf.summary.write("matrix", step * tf.ones([2, 2], tf.float64), step)
            tf.summary.write("number", tf.constant(step, tf.float32), step)

        @tf.function
        def function(x: tf.Tensor) -> tf.Tensor:
            return x * x

        tf.summary.trace_on(graph=True)
        function(tf.constant(2.0))
        tf.summary.trace_export("traced", step=3)
        tf.summary.graph(function.get_concrete_function(tf.constant(2.0)).graph)
    writer.close()


def restarted(folder: str) -> None:
    """Write a run of two files: the program restarted at a step that it had already passed."""
    for begin in (0, 3):
        writer = tf.summary.create_file_writer(folder, filename_suffix=f".{begin}.v2")
        with writer.as_default():
            for step in range(begin, begin + 5):
                tf.summary.scalar("loss", begin + step / 8, step)
        writer.close()


CASES: dict[str, Callable[[str], None]] = {"tf1": tf1_kinds, "tf2": tf2_kinds, "restarted": restarted}


def main() -> int:
    """Write all cases; returns the exit code."""
    for name, make in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            make(folder)
            shutil.rmtree(EVENTS / name, ignore_errors=True)
            (EVENTS / name).mkdir(parents=True)
            # Name the files as if they had been started a second apart, on no particular machine.
            for number, path in enumerate(sorted(Path(folder).rglob("*tfevents*"))):
                suffix = f".1.{number}.v2" if path.name.endswith(".v2") else ""
                shutil.copy(path, EVENTS / name / f"events.out.tfevents.{1700000000 + number}.host{suffix}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
