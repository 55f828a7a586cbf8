"""``.keras`` files of Keras 3: an archive of a configuration, variables and vocabularies, not compressed.

::

    metadata.json                                      which Keras, and when
    config.json                                        the model: classes, arguments, how layers are connected
    model.weights.h5                                   the variables
    assets/layers/string_lookup/vocabulary.txt         files of layers

Members are stored as they are: Keras reads the weights in place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ckptfmt.converting.sinks.keras.weights import KerasWeightsSink, WeightsFile
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sinks.zip_writer import ZipWriter


class KerasArchiveSink(KerasWeightsSink):
    """Writes ``.keras`` files; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "keras"

    def __init__(
        self,
        config: Mapping[str, Any],
        names: Mapping[str, str],
        assets: Mapping[str, bytes],
        version: str,
    ) -> None:
        """Take the configuration for Keras 3, names of layers by path, files, and the version of Keras."""
        super().__init__(names)
        self._config, self._assets, self._version = config, assets, version

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write the file."""
        weights = WeightsFile(tensors, self._names)
        date = datetime.now().astimezone().strftime("%Y-%m-%d@%H:%M:%S")
        metadata = {"keras_version": self._version, "date_saved": date, **writing.metadata}
        members = {"metadata.json": json.dumps(metadata), "config.json": json.dumps(self._config)}
        with writing.create() as output:
            archive = ZipWriter(writing, output)
            for name, text in members.items():
                archive.add(name, [text.encode()], len(text.encode()))
            archive.add("model.weights.h5", weights.pieces(writing.advance), weights.size)
            for name, data in self._assets.items():
                archive.add(f"assets/{name}", [data], len(data))
            archive.finish()
        return [writing.path]
