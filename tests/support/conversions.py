"""What programs that take binary data for text do to them."""

from __future__ import annotations

from collections.abc import Callable

CONVERSIONS: dict[str, Callable[[bytes], bytes]] = {
    "line feeds": lambda data: data.replace(b"\n", b"\r\n"),
    "UTF-8": lambda data: data.decode("utf-8", "replace").encode(),
    "Latin-1": lambda data: data.decode("latin-1").encode(),
    "Windows-1252": lambda data: data.decode("cp1252", "replace").encode(),
}
