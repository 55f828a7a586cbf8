"""Summary metadata: what the first value of a tag says about all of its values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages


@dataclass(frozen=True)
class SummaryMetadata:
    """The metadata of a tag, which its first value gives for all of them."""

    plugin: str = ""
    """The TensorBoard plugin that shows the values: ``scalars``, ``histograms``, ``images``, ``text``, …"""
    content: bytes = b""
    """What the plugin stores here."""
    display_name: str = ""
    description: str = ""
    data_class: int = 0
    """1 for scalars, 2 for tensors, 3 for sequences of blobs, 0 if not said."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "SummaryMetadata"))


NO_METADATA = SummaryMetadata()


@lru_cache(maxsize=1024)
def decode_metadata(data: bytes) -> SummaryMetadata:
    """Return a valid ``tensorflow.SummaryMetadata`` message as data; runs repeat few of them many times."""
    message = messages.SummaryMetadata.FromString(data)
    plugin = message.plugin_data
    return SummaryMetadata(
        plugin.plugin_name,
        plugin.content,
        message.display_name,
        message.summary_description,
        message.data_class,
    )
