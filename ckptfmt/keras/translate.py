"""The configuration of a model of Keras 2 as that of Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.keras.description import is_model, is_written_by_keras_3, name_of, parse_description
from ckptfmt.keras.functional import translate_functional
from ckptfmt.keras.layers import translate_layer
from ckptfmt.keras.sequential import translate_sequential
from ckptfmt.keras.translation import Translation, Work
from ckptfmt.limits import DEFAULT, Limits


def translate(
    config: Mapping[str, Any] | str | bytes, *, file: str | None = None, limits: Limits = DEFAULT
) -> Translation:
    """Translate the configuration of a Keras 2 model into one that Keras 3 loads.

    Nothing in it is executed, and no code in it is decoded. A configuration of Keras 3 is returned as it is.

    Parameters
    ----------
    config
        What describes the model, as an object or as JSON: the result of ``model.to_json()``, the attribute
        ``model_config`` of an ``.h5`` file, ``config.json`` of a ``.keras`` file, or what the metadata of a
        SavedModel says of the model (:attr:`KerasLayer.metadata`).
    file
        The file that it comes from, for errors.
    limits
        How deep it may be nested.

    Raises
    ------
    CorruptError
        It is not the configuration of a model.
    LimitError
        It is nested too deep, or has too many values.
    """
    try:
        described = parse_description(config, limits)
        if is_written_by_keras_3(described):
            return Translation(described)
        work = Work(_translate)
        new = _translate(described, "", work)
    except CkptfmtError as error:
        raise error.at(file) if file is not None else error from None
    return Translation(
        new, tuple(work.dropped), tuple(work.refused), tuple(work.changes), tuple(work.adapted), work.renamed
    )


def _translate(description: Mapping[str, Any], path: str, work: Work) -> dict[str, Any]:
    """Translate a model or any other layer."""
    class_name, config = description["class_name"], description["config"]
    if not isinstance(config, dict):
        raise CorruptError(f"layer {name_of(description)!r}: got no configuration, want one")
    if class_name == "Sequential":
        return translate_sequential(config, path, work)
    if not is_model(description):
        return translate_layer(description, path, work)
    if class_name not in ("Functional", "Model"):
        work.drop(path, "class_name", class_name)
    return translate_functional(config, path, work)
