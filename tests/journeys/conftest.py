"""Every journey starts in an empty directory, with only the files that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.journeys import Journey


@pytest.fixture
def journey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journey:
    monkeypatch.chdir(tmp_path)
    return Journey(tmp_path)
