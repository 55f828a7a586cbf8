"""``ckptfmt copy``: a checkpoint written again, with other names, tensors, dtypes or shards."""
