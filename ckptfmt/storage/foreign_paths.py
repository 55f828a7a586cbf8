"""Paths that this machine's file system does not understand: remote ones, ``file:`` URLs and ``~``."""

from __future__ import annotations

import os
import re

from ckptfmt.errors import NotWritableError, PathNotFoundError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://|(dbfs|hf|s3|gs):/", re.IGNORECASE)
"""The start of a remote path. A scheme has two letters at least: one alone is a drive of Windows."""

_FILE_URL = re.compile(r"file://(?:localhost)?(?=/)", re.IGNORECASE)

_NOT_EXPANDED = "'~' is not expanded: pass os.path.expanduser(path)"

_COPY = {
    "gs": "gsutil cp",
    "s3": "aws s3 cp",
    "s3a": "aws s3 cp",
    "s3n": "aws s3 cp",
    "hdfs": "hdfs dfs -get",
    "viewfs": "hdfs dfs -get",
    "http": "curl -LO",
    "https": "curl -LO",
    "ftp": "curl -O",
    "hf": "huggingface-cli download",
    "dbfs": "databricks fs cp",
    "abfs": "azcopy copy",
    "abfss": "azcopy copy",
    "wasb": "azcopy copy",
    "wasbs": "azcopy copy",
    "az": "azcopy copy",
    "adl": "azcopy copy",
}
"""Scheme -> a command that copies from there."""


def is_remote(path: str) -> bool:
    """Return whether a path names another machine: ``gs://bucket/model.ckpt``."""
    return _SCHEME.match(path) is not None and _FILE_URL.match(path) is None


def without_file_scheme(path: str) -> str:
    """Return the path in a URL of this machine, ``file:///tmp/x``. As in TensorFlow, nothing is decoded."""
    url = _FILE_URL.match(path)
    return path if url is None else path[url.end() :]


def check_is_local(path: str, full_path: str) -> None:
    """Raise PathNotFoundError if a path at which nothing was found cannot be one of this machine.

    ``full_path`` is where it was looked for.
    """
    if _is_local(path, full_path):
        return
    scheme = _SCHEME.match(path)
    if scheme is None:
        raise PathNotFoundError(_NOT_EXPANDED, file=path)
    command = _COPY.get((scheme[1] or scheme[2]).lower())
    how = "" if command is None else f", for example with '{command}'"
    raise PathNotFoundError(f"remote paths are not read: copy the files here first{how}", file=path)


def check_is_writable(path: str, full_path: str) -> None:
    """Raise NotWritableError if a file cannot be made at a path because that is not one of this machine."""
    if not _is_local(path, full_path):
        is_home = _SCHEME.match(path) is None
        remote = "remote paths are not written: write the file here, and copy it"
        raise NotWritableError(path, _NOT_EXPANDED if is_home else remote)


def _is_local(path: str, full_path: str) -> bool:
    first, slash, _ = path.replace(os.sep, "/").partition("/")
    # "~x" without a separator is a name like any other, but hardly anyone calls a file "~".
    if not (slash or path == "~") or not (first.startswith("~") or is_remote(path)):
        return True
    # A directory may have such a name nevertheless.
    return os.path.lexists(full_path[: len(full_path) - len(path) + len(first)])
