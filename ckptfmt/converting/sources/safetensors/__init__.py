"""safetensors, in one file or in several."""
