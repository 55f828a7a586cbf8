"""Weights that have other values in Keras 3, so that the model predicts the same."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class WeightChange(Protocol):
    """A change of the weights of a layer and of the layers in it."""

    @property
    def layer(self) -> str:
        """Path of the layer, as in :class:`RefusedLayer`."""

    @property
    def reason(self) -> str:
        """Why the weights change, for people."""

    def apply(self, name: str, value: np.ndarray) -> np.ndarray:
        """Return the value that a weight has in Keras 3, given its own name, such as ``kernel``."""


@dataclass(frozen=True)
class Scaling:
    """The last axis of the weights is in equal parts, one for each gate; each is multiplied by a factor."""

    layer: str
    reason: str
    factors: tuple[float, ...]
    except_for: Collection[str] = ()
    """Names of weights that stay as they are."""

    def apply(self, name: str, value: np.ndarray) -> np.ndarray:
        """Return the scaled weight, in its own dtype."""
        if name in self.except_for:
            return value
        parts = np.split(value.astype(np.float64), len(self.factors), axis=-1)
        scaled = [part * factor for part, factor in zip(parts, self.factors, strict=True)]
        return np.concatenate(scaled, axis=-1).astype(value.dtype)


@dataclass(frozen=True)
class FromCudnn:
    """The weights of a CuDNNLSTM or CuDNNGRU as those of an LSTM or GRU.

    CuDNN has the matrix of each gate transposed, and two biases, which an LSTM adds.

    Source: Keras 2 ``saving/legacy/hdf5_format.py``.
    """

    layer: str
    gates: int
    """4 in an LSTM, 3 in a GRU."""
    reason: str = "CuDNN has its own order of weights"

    def apply(self, name: str, value: np.ndarray) -> np.ndarray:
        """Return the weight of the LSTM or GRU."""
        if name == "bias":
            halves = value.reshape(2, -1)
            return halves.sum(axis=0, dtype=value.dtype) if self.gates == 4 else halves
        parts = np.split(value, self.gates, axis=1)
        if name == "recurrent_kernel":
            return np.concatenate([part.T for part in parts], axis=1)
        return np.concatenate([part.reshape(part.shape[::-1]).T for part in parts], axis=1)
