"""safetensors, written."""
