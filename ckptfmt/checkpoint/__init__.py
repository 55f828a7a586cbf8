"""Checkpoints: what ``tf.train.Saver`` and ``tf.train.Checkpoint`` write."""
