"""What a layer learned by ``adapt`` and its configuration lacks: a vocabulary, or the boundaries of bins."""

from __future__ import annotations

from typing import Any

import numpy as np

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.translation import AdaptedArgument, Work
from ckptfmt.text.quoting import shortened

_LOOKUPS = ("StringLookup", "IntegerLookup", "TextVectorization")


def note_adapted(class_name: str, arguments: dict[str, Any], path: str, work: Work) -> None:
    """Note which arguments of a layer are stored elsewhere in the model.

    A vocabulary that is a string is the path of a file, where the model was trained.
    """
    missing = []
    if class_name in _LOOKUPS and not isinstance(arguments.get("vocabulary"), list):
        arguments["vocabulary"] = None
        missing = ["vocabulary"]
        if arguments.get("output_mode") in ("tf_idf", "tf-idf"):
            missing.append("idf_weights")
    if class_name == "Discretization" and arguments.get("bin_boundaries") is None:
        missing = ["bin_boundaries"]
    work.adapted += [AdaptedArgument(path, class_name, argument, arguments) for argument in missing]


def vocabulary(keys: np.ndarray, values: np.ndarray) -> list[Any]:
    """Return the vocabulary of a lookup table, given the keys and values with which it was saved.

    Raises UnsupportedError if a term is not UTF-8, as a configuration must be.
    """
    terms = keys[np.argsort(values, kind="stable")].tolist()
    try:
        return [term.decode() if isinstance(term, bytes) else term for term in terms]
    except UnicodeDecodeError as error:
        what = f"vocabulary: got the term {shortened(repr(error.object), 80)}, want UTF-8"
        raise UnsupportedError(what) from error


def bin_boundaries(summary: np.ndarray, bins: int) -> list[float]:
    """Return the boundaries of a Discretization layer, given its weight ``summary``: values and their counts.

    Source: Keras ``layers/preprocessing/discretization.py``.
    """
    epsilon = 1.0 / bins
    if summary.shape[1] * epsilon < 1:
        found = summary[0]
    else:
        shares = epsilon + np.arange(0.0, 1.0, epsilon)
        counts = summary[1].cumsum()
        found = np.interp(shares, counts / counts[-1], summary[0]).astype(np.float32)
    return [float(each) for each in found[:-1]]
