"""Rehearsal of a restore: whether what is expected of a checkpoint is in it, and what may be meant if not."""
