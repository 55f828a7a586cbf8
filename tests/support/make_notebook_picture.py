"""The picture of docs/notebooks.md, light and dark: ``python -m tests.support.make_notebook_picture``.

It needs Chromium and Pillow.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from PIL import Image

import ckptfmt

ROOT = Path(__file__).parent.parent.parent
PICTURE = ROOT / "docs" / "notebook.png"
WIDTH, HEIGHT = 640, 950

STYLE = """
.ck-scroll { max-height: 15em !important }
body { margin: 8px 14px; font-family: sans-serif }
pre.code { padding: 6px 8px; margin: 10px 0 4px; font-size: 12px; background: rgba(128, 128, 128, .12) }
"""

THEMES = (("#fff", "#1f2328", 1), ("#111", "#ddd", 0))
"""Background, text, and the colour scheme that the system prefers: 0 dark, 1 light."""


def cells() -> str:
    """Return the code and the output of a few cells."""
    ckpt = ckptfmt.open("examples/digits")
    shown = {
        "ckpt": ckpt,
        "ckpt.object_graph": ckpt.object_graph,
        "ckpt.verify()": ckpt.verify(),
        "events": ckptfmt.open_events("tests/data/events/tf2"),
    }
    return "".join(f"<pre class=code>{code}</pre>{value._repr_html_()}" for code, value in shown.items())


def main() -> None:
    """Write the picture; run it in the root of the project, since the cards show paths."""
    whole = Image.new("RGB", (WIDTH * len(THEMES), HEIGHT))
    content = cells()
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "page.html", Path(folder) / "page.png"
        for number, (background, text, scheme) in enumerate(THEMES):
            body = f'<body style="background: {background}; color: {text}">{content}'
            page.write_text(
                f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{body}", encoding="utf-8"
            )
            subprocess.run(
                [
                    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                    *(f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}"),
                    *(f"--window-size={WIDTH},{HEIGHT}", page.as_uri()),
                ],
                check=True,
                capture_output=True,
                timeout=120,
            )
            with Image.open(shot) as picture:
                whole.paste(picture.convert("RGB"), (number * WIDTH, 0))
    whole.quantize(128, kmeans=1).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
