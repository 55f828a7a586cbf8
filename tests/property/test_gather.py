"""Laws of gathering: any part of a stored array is NumPy's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from ckptfmt.checkpoint import gather as gathering
from ckptfmt.checkpoint.gather import gather, prefetch
from ckptfmt.checkpoint.selection import select
from ckptfmt.checkpoint.slices import whole
from ckptfmt.dtypes import as_dtype
from tests.support.memory_filesystem import BEFORE, MemoryFile, stored


@st.composite
def parts(draw: st.DrawFn) -> tuple[np.ndarray, Any]:
    shape = draw(stn.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=7))
    array = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    index = draw(stn.basic_indices(shape, allow_newaxis=False))
    if shape and draw(st.booleans()):
        items: list[Any] = [draw(st.slices(size) | st.integers(-size, size - 1)) for size in shape]
        axis = draw(st.integers(0, len(shape) - 1))
        items[axis] = draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), max_size=8))
        index = tuple(items)
    return array, index


@given(
    parts(),
    st.sampled_from([1, 8, 40, 4096]),
    st.sampled_from([1, 16, 100, 1 << 20]),
    st.sampled_from([1, 3, 99]),
)
def test_any_part_is_numpys(part: tuple[np.ndarray, Any], gap: int, most: int, at_once: int) -> None:
    array, index = part
    selection, local = select(index, array.shape, "t")
    source = selection.within(whole(array.shape))
    if source is None:
        return
    file = stored(array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "GAP_BYTES", gap)
        patch.setattr(gathering, "READ_BYTES", most)
        patch.setattr(gathering, "SORTED_AT_ONCE", at_once)
        patch.setattr(gathering, "SPARE_BYTES", gap)
        got = gather(file, len(BEFORE), as_dtype("int32"), array.shape, source.source)
    want = np.asarray(array[index])
    assert got[local].shape == want.shape
    np.testing.assert_array_equal(got[local], want)
    assert not got.flags.writeable
    assert all(
        len(BEFORE) <= offset and offset + size <= len(BEFORE) + array.nbytes for offset, size in file.reads
    )


class Advised(MemoryFile):
    """A file that notes what is asked for ahead."""

    asked: list[tuple[int, int]]

    def prefetch(self, offset: int, size: int) -> None:
        self.asked.append((offset, size))


@given(parts())
def test_what_is_asked_for_ahead_holds_the_part(part: tuple[np.ndarray, Any]) -> None:
    array, index = part
    selection, _ = select(index, array.shape, "t")
    source = selection.within(whole(array.shape))
    if source is None:
        return
    file = Advised("data", array.tobytes())
    file.asked = []
    prefetch(file, 0, as_dtype("int32"), array.shape, source.source)
    taken = array[source.source].reshape(-1).tolist()
    ahead = {at // 4 for offset, size in file.asked for at in range(offset, offset + size)}
    assert set(taken) <= ahead
