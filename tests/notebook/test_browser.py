"""Cards in a real browser, on light and dark pages: text stands out from its background."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import ckptfmt

ROOT = Path(__file__).parent.parent.parent
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PAGES = {
    "light": ("<body>", 1),
    "dark": ("<style>:root { color-scheme: light dark }</style><body>", 0),
    "JupyterLab, light": ('<body style="background: #fff; color: rgba(0, 0, 0, .87)">', 1),
    "JupyterLab, dark": (
        "<style>:root { --jp-brand-color1: #64b5f6; --jp-error-color1: #e57373 }"
        '</style><body style="background: #111; color: rgba(255, 255, 255, .87)">',
        1,
    ),
    "VS Code, dark": (
        "<style>:root { --vscode-textLink-foreground: #3794ff; --vscode-errorForeground: #f48771 }</style>"
        '<body style="background: #1e1e1e; color: #ccc">',
        1,
    ),
}
"""Pages that cards stand in, and the colour scheme that the reader's system prefers: 0 dark, 1 light."""

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
    # The browser leaves its helpers behind for a moment.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def picture(html: str, folder: Path, scheme: int) -> np.ndarray:
    """A screenshot of a page: [height, width, 3]."""
    images = pytest.importorskip("PIL.Image", reason="Pillow is an extra")
    (folder / "page.html").write_text(f"<!doctype html><meta charset='utf-8'>{html}", encoding="utf-8")
    shot = folder / "page.png"
    subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}"),
            *("--window-size=800,600", f"--screenshot={shot}", (folder / "page.html").as_uri()),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return np.asarray(images.open(io.BytesIO(shot.read_bytes())).convert("RGB"))


def luminance(colour: np.ndarray) -> np.ndarray:
    """The relative luminance of colours, as WCAG 2 defines it."""
    part = colour / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("page", PAGES)
def test_text_stands_out(page: str, tmp_path: Path) -> None:
    begin, scheme = PAGES[page]
    with ckptfmt.open(ROOT / "examples" / "digits") as ckpt:
        pixels = picture(begin + ckpt._repr_html_(), tmp_path, scheme)
    light = luminance(pixels)
    background = np.median(light)
    assert (background > 0.5) == ("dark" not in page)
    contrast = (np.maximum(light, background) + 0.05) / (np.minimum(light, background) + 0.05)
    # There is much plain text, and it is nearly black on white or white on black.
    assert (contrast > 7).mean() > 0.01
    # The kind of the object is in the colour of links, and no other text on these pages is coloured.
    spread = pixels.max(axis=2).astype(int) - pixels.min(axis=2)
    kind = contrast[(spread > 100)]
    assert len(kind)
    assert kind.max() > 3
