r"""Kerchunk reference files: the files of a zarr hierarchy as places in other files.

::

    {"version": 1, "templates": {"u": "…"}, "refs": {
        "w/.zarray": "{\"shape\": …}",              the content itself, as text
        "w/0.0": ["file:///data/model", 64, 400],   offset and size in a file
        "v/0": "base64:…",                          the content, encoded
        "x/0": ["{{u}}/x.bin"]}}                    a whole file

Source: https://fsspec.github.io/kerchunk/spec.html, version 1.
"""

from __future__ import annotations

import binascii
import json
import os
import re
import sys
import threading
from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ckptfmt.cached_property import cached_property
from ckptfmt.converting.sources.zarr.tree import directories_of
from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem

_BASE64 = "base64:"
_TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class ReferenceTree:
    """A hierarchy in a reference file; a :class:`~ckptfmt.converting.sources.zarr.tree.Tree`."""

    def __init__(self, fs: Filesystem, path: str, limits: Limits) -> None:
        self._fs = fs
        self._path = path
        file = fs.open(path)
        try:
            if file.size > limits.value:
                raise LimitError(
                    "reference file", limit=limits.value, asked=file.size, field="max_bytes", file=path
                )
            self._refs, self._templates = _parse(bytes(file.read(0, file.size)), path)
        finally:
            file.close()
        limits.check_names("references", len(self._refs), file=path)
        self._files: dict[str, RandomAccessFile] = {}
        self._lock = threading.Lock()

    def locate(self, key: str) -> str:
        """Return what errors call a file."""
        return f"{self._path}:{key}" if key else self._path

    def read(self, key: str, start: int = 0, stop: int | None = None) -> memoryview | None:
        """Return a file or part of it; None if it does not exist."""
        ref = self._refs.get(key)
        if ref is None:
            return None
        if isinstance(ref, str):
            return memoryview(self._inline(key, ref))[start:stop]
        if isinstance(ref, dict):
            return memoryview(json.dumps(ref).encode())[start:stop]
        url, offset, size = self._place(key, ref)
        file = self._open(url)
        size = max(0, file.size - offset) if size is None else size
        first, last, _ = slice(start, stop).indices(size)
        return file.read(offset + first, max(0, last - first))

    def _inline(self, key: str, text: str) -> bytes:
        if not text.startswith(_BASE64):
            return text.encode("utf-8", "surrogateescape")
        try:
            return b64decode(text[len(_BASE64) :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise CorruptError(f"base64: {error}", file=self.locate(key)) from None

    def _place(self, key: str, ref: Any) -> tuple[str, int, int | None]:  # noqa: ANN401  (whatever JSON holds)
        numbers = ref[1:] if isinstance(ref, list) else [None]
        is_place = len(numbers) in (0, 2) and all(
            type(each) is int and 0 <= each < 1 << 63 for each in numbers
        )
        if not is_place or not isinstance(ref[0], str):
            raise CorruptError(
                f"reference: got {json.dumps(ref)[:100]}, want [url] or [url, offset, size]",
                file=self.locate(key),
            )
        url = _TEMPLATE.sub(lambda match: self._template(key, match[1]), ref[0])
        return url, *(numbers or (0, None))

    def _template(self, key: str, name: str) -> str:
        if name not in self._templates:
            raise CorruptError(f"template {name!r} is not defined", file=self.locate(key))
        return self._templates[name]

    def _open(self, url: str) -> RandomAccessFile:
        with self._lock:
            if url not in self._files:
                # As in fsspec, what follows the scheme is the path as it is, without escapes.
                self._files[url] = self._fs.open(url.removeprefix("file://"))
            return self._files[url]

    def directories(self, key: str) -> list[str]:
        """Return the names of the directories in a directory."""
        return list(self._below.get(key, ()))

    @cached_property
    def _below(self) -> Mapping[str, Collection[str]]:
        return directories_of(self._refs)

    def sizes(self, key: str) -> Iterator[int]:
        """Iterate over the sizes of all files below a directory."""
        start = f"{key}/" if key else ""
        for name, ref in self._refs.items():
            if name.startswith(start):
                is_range = isinstance(ref, list) and len(ref) == 3 and type(ref[2]) is int
                yield ref[2] if is_range else len(ref) if isinstance(ref, str) else 0

    def close(self) -> None:
        """Close the files that it refers to."""
        for file in self._files.values():
            file.close()


def _parse(text: bytes, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        content = json.loads(text.decode())
    except RecursionError:
        raise CorruptError("JSON nested too deeply", file=path) from None
    except ValueError as error:
        raise CorruptError(f"not JSON: {error}", file=path) from None
    refs = content.get("refs") if isinstance(content, dict) else None
    if not isinstance(refs, dict) or content.get("version") != 1:
        raise CorruptError("want version 1 and refs: not a Kerchunk reference file", file=path)
    if content.get("gen"):
        raise UnsupportedError("references that are generated", file=path)
    templates = content.get("templates", {})
    if not isinstance(templates, dict) or not all(isinstance(each, str) for each in templates.values()):
        raise CorruptError("templates: want text by name", file=path)
    return refs, templates


def file_url(path: str) -> str:
    """Return the URL of an absolute path, as fsspec takes it: without escapes."""
    return f"file:///{path}".replace(os.sep, "/") if sys.platform == "win32" else f"file://{path}"
