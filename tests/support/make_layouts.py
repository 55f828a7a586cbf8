"""Write the names and shapes of models on both sides of the plans that ship: tests/data/layouts.

    python -m tests.support.make_layouts

The source is what the graphs of :mod:`tests.support.google_transformers` and its neighbours save, the target
the ``state_dict`` of the class of the library transformers. TensorFlow, torch and transformers are needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.layouts import LAYOUTS
from tests.support.shipped_models import MODELS, Model
from tests.support.torch_networks import NETWORKS


def _main() -> None:
    for name, model in MODELS.items():
        path = LAYOUTS / f"{name}.json"
        origin, made = _made(model)
        target = {key: list(value.shape) for key, value in made.state_dict().items()}
        tied = sorted(getattr(made, "all_tied_weights_keys", ()))
        content = {"origin": origin, "source": _source(model), "target": target, "tied": tied}
        path.write_text(_text(content))


def _made(model: Model) -> tuple[str, Any]:
    """Return what a model is, and the model on the other side."""
    if model.kind in NETWORKS:
        library = model.kind.split()[0]
        return f"{model.kind} of {library} {version(library)}", NETWORKS[model.kind]()
    import transformers

    config = dict(model.config)
    settings = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
    origin = f"{model.kind} of transformers {transformers.__version__}"
    return origin, getattr(transformers, model.kind)(settings)


def _source(model: Model) -> dict[str, list[int]]:
    import tensorflow as tf

    with TemporaryDirectory() as folder:
        prefix, _ = model.build(Path(folder))
        return dict(tf.train.list_variables(str(prefix)))


def _text(content: Mapping[str, object]) -> str:
    """Return JSON with a line for each tensor."""
    lines = []
    for key, value in content.items():
        if isinstance(value, dict):
            pairs = ",\n".join(
                f"    {json.dumps(name)}: {json.dumps(shape)}" for name, shape in value.items()
            )
            lines.append(f"  {json.dumps(key)}: {{\n{pairs}\n  }}")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    _main()
