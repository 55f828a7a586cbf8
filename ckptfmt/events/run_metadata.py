"""Run metadata: what a program measured while it traced a step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ckptfmt.proto import messages


@dataclass(frozen=True)
class RunMetadata:
    """The measurements of one step, or the graphs that ran in it."""

    tag: str
    step: int
    wall_time: float
    """When it was logged, in seconds since 1970."""
    data: bytes = field(repr=False)
    """The serialized ``tensorflow.RunMetadata`` message."""
    message: messages.RunMetadata = field(repr=False)
    """The message: ``step_stats``, ``cost_graph``, ``partition_graphs``, ``function_graphs``."""

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return how long each node took: a row for each time that it ran.

        Returns
        -------
        dict
            ``device``, ``node``, ``label`` (objects, ``str``), ``thread`` (uint32), ``start_micros`` (int64,
            microseconds since 1970), ``duration_micros`` and ``duration_nanos`` (int64) from its start to its
            end. ``duration_nanos`` is 0 if the program did not measure nanoseconds.
        """
        rows = [
            (device.device, node)
            for device in self.message.step_stats.dev_stats
            for node in device.node_stats
        ]
        return {
            "device": np.array([device for device, _ in rows], object),
            "node": np.array([node.node_name for _, node in rows], object),
            "label": np.array([node.timeline_label for _, node in rows], object),
            "thread": np.array([node.thread_id for _, node in rows], np.uint32),
            "start_micros": np.array([node.all_start_micros for _, node in rows], np.int64),
            "duration_micros": np.array([node.all_end_rel_micros for _, node in rows], np.int64),
            "duration_nanos": np.array([node.all_end_rel_nanos for _, node in rows], np.int64),
        }
