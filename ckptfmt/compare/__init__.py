"""Comparing tensors: how one checkpoint would restore into another."""
