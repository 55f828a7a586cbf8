"""What becomes of the configuration of a Keras 2 model: that of a Keras 3 model, and what is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.weight_changes import FromCudnn, Scaling, WeightChange
from ckptfmt.text.quoting import listed, shortened

_LISTED = 20
"""Layers that a message lists. The translation has all of them."""


class DroppedArgument(NamedTuple):
    """An argument that Keras 3 does not have and that changes no prediction."""

    layer: str
    """Path of the layer, as in :class:`RefusedLayer`."""
    argument: str
    value: object
    """Its value, which is not the default of Keras 2."""


class RefusedLayer(NamedTuple):
    """A layer that cannot be translated."""

    layer: str
    """Path of the layer: names of the models around it and its own, joined by slashes; empty for the model.
    A layer in a layer has the attribute instead of its name: ``encoder/bidirectional/forward_layer``."""
    class_name: str
    reason: str


class AdaptedArgument(NamedTuple):
    """An argument that a layer learned by ``adapt``, and that its configuration lacks.

    The model has it elsewhere: a vocabulary in a lookup table or a file of the assets, ``idf_weights`` in a
    variable; ``bin_boundaries`` follow from the variable ``summary``. Whoever finds it there completes the
    translation with ``config[argument] = value``.
    """

    layer: str
    """Path of the layer, as in :class:`RefusedLayer`."""
    class_name: str
    argument: str
    config: dict[str, Any]
    """The configuration of the layer, a part of :attr:`Translation.config`."""


@dataclass(frozen=True)
class Translation:
    """The configuration of a model for Keras 3.

    How the model was compiled, with which optimizer, loss and metrics, is left out.
    """

    config: dict[str, Any]
    """What ``config.json`` of a ``.keras`` file holds: module, class_name, config, registered_name.
    If :attr:`refused` is not empty, Keras 3 cannot load it."""
    dropped: tuple[DroppedArgument, ...] = ()
    """Arguments that were left out although their values were not the defaults."""
    refused: tuple[RefusedLayer, ...] = ()
    """Layers that have no counterpart in Keras 3, or whose code only their author has."""
    changes: tuple[WeightChange, ...] = ()
    """Weights that must change, or else the predictions do."""
    adapted: tuple[AdaptedArgument, ...] = ()
    """What is still missing in :attr:`config`, because only the rest of the model has it."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names that layers had in Keras 2, by their paths, if they have others in Keras 3: without slashes."""

    def raise_if_refused(self, file: str | None = None) -> None:
        """Raise UnsupportedError if layers cannot be translated, which names them with the reasons."""
        if not self.refused:
            return
        layers = listed(self.refused, _LISTED, quote=_refusal_text)
        raise UnsupportedError(f"no configuration for Keras 3: {layers}", file=file)


def _refusal_text(refused: RefusedLayer) -> str:
    layer = f"layer {shortened(refused.layer)!r}" if refused.layer else "the model"
    return f"{layer} of class {shortened(refused.class_name)!r} {refused.reason}"


def below(path: str, name: str) -> str:
    """Return the path of a layer in a model."""
    return f"{path}/{name}" if path else name


@dataclass
class Work:
    """A translation in progress."""

    translate_layer: Callable[[Mapping[str, Any], str, Work], dict[str, Any]]
    """Translates the description of any layer; layers in layers come back to it."""
    dropped: list[DroppedArgument] = field(default_factory=list)
    refused: list[RefusedLayer] = field(default_factory=list)
    changes: list[Scaling | FromCudnn] = field(default_factory=list)
    adapted: list[AdaptedArgument] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)

    def layer(self, description: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Translate the description of a layer."""
        return self.translate_layer(description, path, self)

    def refuse(self, path: str, class_name: str, reason: str) -> None:
        """Note that a layer cannot be translated."""
        self.refused.append(RefusedLayer(path, class_name, reason))

    def drop(self, path: str, argument: str, value: object) -> None:
        """Note that an argument is left out."""
        self.dropped.append(DroppedArgument(path, argument, value))
