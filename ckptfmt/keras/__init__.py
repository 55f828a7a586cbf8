"""Models of Keras 2, as Keras 3 stores them.

Few conversions are about models of Keras, so what opens these is loaded when it is used.
"""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "classes": "keras_version",
        "keras_model": "KerasModel",
        "open_model": "open_keras_model opened_keras_model",
    },
)
