"""``tf.train.Example`` and ``tf.train.SequenceExample``: what a record of a TFRecord file usually holds."""
