"""Sources: files of other programs, as the mapping of tensors that a checkpoint is."""
