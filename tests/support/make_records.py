"""Write ``tests/data/records`` with TensorFlow: ``python -m tests.support.make_records``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "data" / "records"


def main() -> None:
    """Write two shards of examples, and a compressed file of sequences."""
    import tensorflow as tf

    def integers(*values: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def floats(*values: float) -> Any:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def strings(*values: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    FOLDER.mkdir(exist_ok=True)
    for shard in range(2):
        with tf.io.TFRecordWriter(str(FOLDER / f"train-{shard:05d}-of-00002")) as writer:
            for number in range(shard, 6, 2):
                features = {
                    "label": integers(number),
                    "box": floats(*[0.25 * number] * 4),
                    "words": strings(*[b"word %d" % word for word in range(number)]),
                }
                message = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(message.SerializeToString(deterministic=True))
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(FOLDER / "sequences.tfrecord.gz"), options) as writer:
        for length in (2, 3):
            frames = tf.train.FeatureList(feature=[floats(step, step + 0.5) for step in range(length)])
            message = tf.train.SequenceExample(
                context=tf.train.Features(feature={"length": integers(length)}),
                feature_lists=tf.train.FeatureLists(feature_list={"frames": frames}),
            )
            writer.write(message.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
