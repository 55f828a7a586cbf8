"""Slices of tensors, drawn by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from ckptfmt.checkpoint.slices import FULL, TensorSlice, whole

EXTENTS = st.tuples(st.just(0), st.just(FULL)) | st.tuples(st.integers(0, 2**62), st.integers(1, 2**62))
"""Start and length in one dimension, or all of it."""

SHAPES = stn.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=6)


@st.composite
def tilings(draw: st.DrawFn) -> tuple[tuple[int, ...], list[TensorSlice]]:
    """A shape and boxes that tile it: cut again and again in two, in any order."""
    shape = draw(SHAPES)
    boxes = [whole(shape)]
    for _ in range(draw(st.integers(0, 8)) if shape else 0):
        box = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        axes = [axis for axis, (start, stop) in enumerate(box) if stop - start > 1]
        if not axes:
            boxes.append(box)
            continue
        axis = draw(st.sampled_from(axes))
        start, stop = box[axis]
        cut = draw(st.integers(start + 1, stop - 1))
        boxes += [(*box[:axis], (start, cut), *box[axis + 1 :]), (*box[:axis], (cut, stop), *box[axis + 1 :])]
    parts = []
    for box in draw(st.permutations(boxes)):
        extents = []
        for (start, stop), size in zip(box, shape, strict=True):
            explicit = (start, stop) != (0, size) or draw(st.booleans())
            extents.append((start, stop - start) if explicit else (0, FULL))
        parts.append(TensorSlice(tuple(extents)))
    return shape, parts
