"""Object graphs: the objects that TF2 checkpoints describe, their references to each other, their keys."""
