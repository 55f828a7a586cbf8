"""Keys: the names under which a TF2 checkpoint stores what objects hold."""

from __future__ import annotations

VARIABLE_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""What ``tf.train.Checkpoint`` appends to the path of a variable."""
