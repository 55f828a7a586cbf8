"""The objects that TF2 checkpoints describe, how they refer to each other and what each stores."""
