"""The site of the documentation: every public name has its place, and every page a way to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import ckptfmt

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
REFERENCE = sorted((DOCS / "reference").glob("*.md"))


def described() -> list[str]:
    """Return the names that the reference describes, in the order of its pages."""
    texts = [page.read_text(encoding="utf-8") for page in REFERENCE]
    return [name for text in texts for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]


def test_the_reference_has_every_public_name_once() -> None:
    names = {f"ckptfmt.{name}" for name in ckptfmt._PUBLIC}
    errors = dir(ckptfmt.errors)  # all of these are on one page, as are the functions of compat
    for name in dir(ckptfmt.types):
        if not name.startswith("__") and name not in ckptfmt._PUBLIC and name not in errors:
            names.add(f"ckptfmt.types.{name}")
    assert sorted(described()) == sorted(names)


def site() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    settings: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return settings


def linked(nav: list[Any]) -> list[str]:
    """Return the pages of a menu, and of the menus in it."""
    pages: list[str] = []
    for item in nav:
        for entry in item.values() if isinstance(item, dict) else [item]:
            pages += linked(entry) if isinstance(entry, list) else [entry]
    return pages


def test_the_menu_has_every_page_once() -> None:
    made = {"index.md", "changelog.md", "contributing.md", "security.md", "benchmarks.md"}
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} | made
    assert sorted(linked(site()["nav"])) == sorted(pages), 'add the page to "nav" of mkdocs.yml'


def test_the_site_names_no_host_and_loads_nothing_from_one() -> None:
    settings = site()
    assert not settings.keys() & {"site_url", "repo_url", "extra_javascript"}
    assert settings["theme"]["font"] is False
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "://" not in text
