"""Hooks of MkDocs: pages made of files outside docs/, and links that lead out of docs/ and into it.

A link in a Markdown file leads to another file of the checkout, so that it works wherever the checkout is
shown. On the site, a link to a file that has a page leads to that page. Of a link to any other file, only the
words remain.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Files of the project and their places on the site."""

RESULTS = "benchmarks/results"
"""A folder whose pages and pictures have the same place on the site."""

LINK = re.compile(
    r"""
    (?P<code> ^(?P<fence>`{3,})[^\n]*\n .*? ^(?P=fence)`*[ ]*$ )       # links in code are none
    | (?P<image>!?) \[ (?P<words> (?: [^\[\]] | \[[^\[\]]*\] )* ) \] \( (?P<target> [^)\s]+ ) \)
    | (?P<span> (?P<ticks>`+) .+? (?P=ticks) )
    | (?: (?<=\ssrc=") | (?<=\ssrcset=") | (?<=\shref=") ) (?P<html> [^"]+ )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)


def _places() -> dict[str, str]:
    """Return the files outside docs/ that the site has, and their places on it."""
    results = (ROOT / RESULTS).glob("*.*")
    shown = [f"{RESULTS}/{file.name}" for file in results if file.suffix in {".md", ".png", ".svg"}]
    return {**PAGES, **{name: name for name in sorted(shown)}}


def _place_in_docs(name: str) -> str | None:
    """Return the place of a file of docs/, or of the reference of a module; None if there is none."""
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    reference = f"reference/{Path(name).stem}.md"
    is_described = posixpath.dirname(name) == "ckptfmt" and (ROOT / "docs" / reference).exists()
    return reference if is_described else None


def _anchor(heading: str, _separator: str) -> str:
    """Return the name of a heading in links, as the hosts of checkouts form it: they do not join hyphens."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name headings as links in the checkout do."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = _anchor
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files outside docs/."""
    for name, place in _places().items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to the pages of the site."""
    origins = {place: name for name, place in _places().items()}
    place = page.file.src_uri
    origin = origins.get(place, f"docs/{place}")

    def link(found: re.Match[str]) -> str:
        target = found["target"] or found["html"]
        if target is None or "://" in target or target.startswith("#"):
            return found[0]
        path, hash_sign, anchor = target.partition("#")
        name = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        on_site = _places().get(name) or _place_in_docs(name)
        if on_site is None:
            # MkDocs reports a file that does not exist.
            return found["words"] if found["words"] and (ROOT / name).exists() else found[0]
        new = posixpath.relpath(on_site, posixpath.dirname(place) or ".") + hash_sign + anchor
        if found["html"]:
            return re.sub(r"\.md(?=#|$)", ".html", new)
        return f"{found['image']}[{found['words']}]({new})"

    return LINK.sub(link, markdown)
