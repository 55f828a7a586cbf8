"""Write the names and shapes of models on both sides of the plans that ship: tests/data/layouts.

    python -m tests.support.make_layouts

The source is what the graphs of :mod:`tests.support.google_transformers` and its neighbours save, the target
the ``state_dict`` of the class of the library transformers. TensorFlow, torch and transformers are needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.layouts import LAYOUTS
from tests.support.shipped_models import MODELS, Model


def _main() -> None:
    import transformers

    for name, model in MODELS.items():
        path = LAYOUTS / f"{name}.json"
        config = dict(model.config)
        kind = getattr(transformers, model.kind)
        made = kind(transformers.AutoConfig.for_model(config.pop("model_type"), **config))
        target = {key: list(value.shape) for key, value in made.state_dict().items()}
        content = {
            "origin": f"{model.kind} of transformers {transformers.__version__}",
            "source": _source(model),
            "target": target,
            "tied": sorted(made.all_tied_weights_keys),
        }
        path.write_text(_text(content))


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
