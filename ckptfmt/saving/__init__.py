"""What users write: checkpoints of tensors, and directories of them."""
