"""Run a converted model in PyTorch, in a process of its own.

TensorFlow and PyTorch with CUDA cannot always share a process, and both take memory. A folder is given that
has ``config.json``, ``model.safetensors`` and ``inputs.npz``; ``outputs.npz`` and ``loading.json`` are added.

    python -m tests.support.run_in_torch FOLDER BertForPreTraining
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.support.torch_networks import NETWORKS


class Ran(NamedTuple):
    """What a model computes, and which of its weights the file lacks or has beside them."""

    outputs: dict[str, np.ndarray]
    missing: list[str]
    unexpected: list[str]


def run_in_torch(
    folder: Path,
    kind: str,
    config: Mapping[str, object],
    tensors: Mapping[str, np.ndarray],
    inputs: Mapping[str, np.ndarray],
) -> Ran:
    """Load tensors into a model of the library transformers, as its users do, and run it on inputs."""
    from safetensors.numpy import save_file

    (folder / "config.json").write_text(json.dumps(config))
    contiguous = {name: np.array(tensors[name], order="C") for name in tensors}
    save_file(contiguous, folder / "model.safetensors", metadata={"format": "pt"})
    np.savez(folder / "inputs.npz", **inputs)
    command = [sys.executable, "-W", "ignore", "-m", __name__, str(folder), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loading = json.loads((folder / "loading.json").read_text())
    with np.load(folder / "outputs.npz") as outputs:
        return Ran(dict(outputs), loading["missing_keys"], loading["unexpected_keys"])


def _loaded(folder: Path, kind: str) -> tuple[Any, Mapping[str, Any]]:
    """Return a model with its weights, and which of them are missing or unexpected."""
    if kind in NETWORKS:
        from safetensors.torch import load_file

        network = NETWORKS[kind]()
        found = network.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        loading = {"missing_keys": found.missing_keys, "unexpected_keys": found.unexpected_keys}
        return network, loading
    import transformers

    model, loading = getattr(transformers, kind).from_pretrained(
        folder, output_loading_info=True, output_hidden_states=True
    )
    return model, loading


def _main(folder: Path, kind: str) -> None:
    import torch

    model, loading = _loaded(folder, kind)
    with np.load(folder / "inputs.npz") as arrays:
        inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    with torch.no_grad():
        outputs: Any = model.eval()(**inputs)
        if isinstance(outputs, torch.Tensor):
            outputs = {"logits": outputs}
    arrays = {name: value.numpy() for name, value in outputs.items() if isinstance(value, torch.Tensor)}
    if "hidden_states" in outputs:
        arrays["last_hidden_state"] = outputs["hidden_states"][-1].numpy()
    np.savez(folder / "outputs.npz", **arrays)
    names = {key: sorted(map(str, loading[key])) for key in ("missing_keys", "unexpected_keys")}
    (folder / "loading.json").write_text(json.dumps(names))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])
