"""A checkpoint of TensorFlow, written from any source: what :func:`ckptfmt.save` writes."""

from __future__ import annotations

from collections.abc import Sequence

from ckptfmt.checkpoint.entry import new_keys
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.dtypes import Storage
from ckptfmt.filenames import INDEX_SUFFIX
from ckptfmt.saving.save import save
from ckptfmt.tensors.checkpoint import open_checkpoint
from ckptfmt.tensors.mapping import TensorMapping


class CheckpointSink:
    """Writes V2 checkpoints; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "checkpoint"
    resumes = False

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        if tensor.dtype.storage is Storage.NONE:
            return f"no dtype {tensor.dtype.name}"
        try:
            new_keys([tensor.name])
        except ValueError:
            return "no names that are empty or begin with a zero byte"
        return None

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return nothing: any names may be together."""
        return {}

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write a checkpoint; the objects of checkpoints are kept, changed to fit."""
        views: list[TensorMapping] = []
        for each in tensors:
            if not any(each.tensors is view for view in views[-1:]):
                views.append(each.tensors)
        written = 0

        def advance(done: int, _: int) -> None:
            nonlocal written
            writing.advance(done - written)
            written = done

        prefix = save(
            writing.path.removesuffix(INDEX_SUFFIX),
            views,
            overwrite=writing.overwrite,
            max_shard_bytes=writing.max_shard_bytes,
            progress=advance,
            sync=writing.sync,
            fs=writing.fs,
        )
        with open_checkpoint(prefix, fs=writing.fs) as new:
            shards = [new.shard_path(number) for number in range(new.num_shards)]
        return [prefix + INDEX_SUFFIX, *shards]
