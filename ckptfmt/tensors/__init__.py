"""What users hold: tensors by name, of a checkpoint or a view of one."""
