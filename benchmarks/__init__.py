"""Benchmarks: ``python -m benchmarks`` times ckptfmt next to TensorFlow and safetensors in one run."""
