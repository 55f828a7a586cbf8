"""Masks, where Keras 3 makes others of several than Keras 2.

::

    Add and its relatives          Keras 2: where all masks are set; tensors without a mask do not count
                                   Keras 3: where any is set; no mask if one tensor has none
    Concatenate along features     Keras 2: where all are set       Keras 3: where any is set

If all tensors have the same mask, both are that mask. A layer that takes another mask than before would
predict something else, so it is refused. Masks are followed as numbers; equal ones are the same on all data.

Source: ``compute_mask`` of the layers of Keras 2 and 3.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ckptfmt.keras.description import is_description, is_model
from ckptfmt.keras.nodes import Call, Tensor, tensors
from ckptfmt.keras.translation import Work, below

_MERGING = frozenset(("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"))

_RECURRENT = frozenset(
    (
        *(
            "RNN",
            "SimpleRNN",
            "LSTM",
            "GRU",
            "CuDNNLSTM",
            "CuDNNGRU",
            "ConvLSTM1D",
            "ConvLSTM2D",
            "ConvLSTM3D",
        ),
        "Bidirectional",
    )
)

_ATTENDING = frozenset(("Attention", "AdditiveAttention", "MultiHeadAttention"))

_TAKING = _RECURRENT | _ATTENDING | {"GlobalAveragePooling1D", "Softmax"}
"""Layers whose output depends on a mask."""

_HANDING_ON = _ATTENDING | {
    *(
        "Activation",
        "ActivityRegularization",
        "AlphaDropout",
        "BatchNormalization",
        "Dense",
        "Dropout",
        "ELU",
    ),
    *("GaussianDropout", "GaussianNoise", "GroupNormalization", "LayerNormalization", "LeakyReLU", "PReLU"),
    *("ReLU", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "ThresholdedReLU"),
    *("TimeDistributed", "UnitNormalization"),
}
"""Layers whose output has the mask of their first input."""

_NOW_HANDING_ON = frozenset(("Identity", "Normalization", "Rescaling"))
"""Layers that hand a mask on in Keras 3 only."""


class _Masks(NamedTuple):
    """The masks of a tensor: numbers, None for none."""

    keras_2: int | None
    keras_3: int | None


_NONE = _Masks(None, None)


def check_masks(
    layers: Mapping[str, Any],
    calls: Mapping[str, Sequence[Call]],
    offsets: Mapping[str, int],
    path: str,
    work: Work,
) -> None:
    """Refuse the layers of a functional model that would take other masks in Keras 3."""
    if not any(_makes_mask(each) for each in layers.values()):
        return
    following = _Following(layers, calls, offsets)
    for name in dict.fromkeys(following.differing()):
        reason = "takes a mask that Keras 3 makes otherwise, of several masks that a layer before it merges"
        work.refuse(below(path, name), layers[name]["class_name"], reason)


def _makes_mask(description: Mapping[str, Any]) -> bool:
    config = description["config"]
    return description["class_name"] == "Masking" or (
        description["class_name"] == "Embedding" and bool(config.get("mask_zero"))
    )


class _Following:
    """The masks of a model, followed from call to call."""

    def __init__(
        self, layers: Mapping[str, Any], calls: Mapping[str, Sequence[Call]], offsets: Mapping[str, int]
    ) -> None:
        self._layers, self._calls, self._offsets = layers, calls, offsets
        self._found: dict[tuple[str, int], _Masks] = {}
        self._numbers: dict[Hashable, int] = {}

    def differing(self) -> Iterator[str]:
        """Iterate over the layers that take another mask in Keras 3 than in Keras 2."""
        for name, at in self._in_order():
            call = self._calls[name][at]
            given = [self._masks(each) for each in tensors(call.first)]
            given += [self._masks(each) for each in tensors(call.others)]
            description = self._layers[name]
            class_name = description["class_name"]
            self._found[name, at] = self._output(name, at, description, call, given)
            takes = class_name in _TAKING or is_model(description) or class_name == "TimeDistributed"
            if (
                takes
                and call.others.get("mask") is None
                and any(mask.keras_2 != mask.keras_3 for mask in given)
            ):
                yield name

    def _in_order(self) -> Iterator[tuple[str, int]]:
        """Iterate over the calls, each after those that it takes tensors from."""
        done: set[tuple[str, int]] = set()
        for name, made in self._calls.items():
            for at in range(len(made)):
                waiting = [((name, at), False)]
                while waiting:
                    node, is_ready = waiting.pop()
                    if is_ready:
                        yield node
                    elif node not in done:
                        done.add(node)
                        waiting.append((node, True))
                        call = self._calls[node[0]][node[1]]
                        for argument in (call.first, call.others):
                            waiting += [
                                (before, False) for each in tensors(argument) for before in self._node(each)
                            ]

    def _node(self, tensor: Tensor) -> list[tuple[str, int]]:
        """Return the call that a tensor comes from; none if it is an input."""
        at = tensor.call - self._offsets[tensor.layer]
        return [(tensor.layer, at)] if 0 <= at < len(self._calls[tensor.layer]) else []

    def _masks(self, tensor: Tensor) -> _Masks:
        if tensor.output and self._layers[tensor.layer]["class_name"] in _RECURRENT:
            return _NONE  # a state
        return next((self._found.get(node, _NONE) for node in self._node(tensor)), _NONE)

    def _number(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _output(
        self, name: str, at: int, description: Mapping[str, Any], call: Call, given: Sequence[_Masks]
    ) -> _Masks:
        """Return the masks of what a call gives."""
        class_name, config = description["class_name"], description["config"]
        first = given[0] if given else _NONE
        if _makes_mask(description):
            # The same indices have the same mask, whatever table they are looked up in.
            key = ("nonzero", *tensors(call.first)) if class_name == "Embedding" else (name, at)
            number = self._number(key)
            return _Masks(number, number)
        if is_model(description):
            masked = any(mask != _NONE for mask in given)
            number = self._number((name, at))
            return _Masks(number, number) if masked else _NONE
        if class_name in _MERGING or class_name == "Concatenate":
            return self._merged(class_name, config, given)
        if class_name in _RECURRENT:
            inner = config.get("layer")
            arguments = inner["config"] if is_description(inner) else config
            return first if isinstance(arguments, dict) and arguments.get("return_sequences") else _NONE
        if class_name in _NOW_HANDING_ON:
            return _Masks(None, first.keras_3)
        return first if class_name in _HANDING_ON else _NONE

    def _merged(self, class_name: str, config: Mapping[str, Any], given: Sequence[_Masks]) -> _Masks:
        old, new = [mask.keras_2 for mask in given], [mask.keras_3 for mask in given]
        if class_name == "Concatenate" and config.get("axis") in (0, 1):
            # One mask after the other.
            both = (
                self._number(("after", *masks)) if any(m is not None for m in masks) else None
                for masks in (old, new)
            )
            return _Masks(*both)
        keras_2 = self._combined("all", [each for each in old if each is not None])
        if class_name == "Concatenate":
            # A tensor without a mask counts as one whose mask is set everywhere.
            everywhere = None in new and any(each is not None for each in new)
            keras_3 = self._number("everywhere") if everywhere else self._combined("any", new)
        else:
            keras_3 = None if None in new else self._combined("any", new)
        return _Masks(keras_2, keras_3)

    def _combined(self, how: str, masks: Sequence[int | None]) -> int | None:
        different = frozenset(each for each in masks if each is not None)
        if len(different) > 1:
            return self._number((how, different))
        return next(iter(different), None)
