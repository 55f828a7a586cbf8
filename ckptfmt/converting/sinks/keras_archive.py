"""``.keras`` files of Keras 3: an archive of a configuration, variables and vocabularies, not compressed.

::

    metadata.json                                      which Keras, and when
    config.json                                        the model: classes, arguments, how layers are connected
    model.weights.h5                                   the variables
    assets/layers/string_lookup/vocabulary.txt         files of layers

The sizes of members are written after them, so that everything is streamed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ckptfmt.converting.sinks.keras_weights import KerasWeightsSink, WeightsFile
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.sink import Writing
from ckptfmt.storage.output import OutputStream

_FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of all members: the same model gives the same bytes, but for the date in ``metadata.json``."""


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
        with writing.create() as output, zipfile.ZipFile(OutputStream(output), "w") as archive:
            for name, text in members.items():
                archive.writestr(_member(name), text)
            with archive.open(_member("model.weights.h5"), "w", force_zip64=True) as stream:
                for piece in weights.pieces(writing.advance):
                    stream.write(piece)
            for name, data in self._assets.items():
                archive.writestr(_member(f"assets/{name}"), data)
        return [writing.path]


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _FIRST_DATE)
    info.external_attr = 0o644 << 16
    return info
