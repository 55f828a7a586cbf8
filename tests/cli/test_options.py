"""What options accept; wrong usage is tested with the verbs."""

from __future__ import annotations

import pytest

from ckptfmt.cli.options import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64k", 65536),
        ("1.5MiB", 3 << 19),
        ("2 GB", 2 * 10**9),
        ("1kib", 1024),
        ("7B", 7),
    ],
)
def test_sizes_are_read_as_other_tools_read_them(text: str, size: int) -> None:
    assert parse_size(text) == size
