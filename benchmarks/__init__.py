"""Benchmarks: ``python -m benchmarks`` times ckptfmt beside TensorFlow and safetensors, in one run."""
