"""Texts: the kind of a text file, going by how it begins."""

from __future__ import annotations

import codecs
import re

from ckptfmt.filetype.kinds import (
    GRAPH_TEXT,
    HTML,
    JSON,
    META_GRAPH_TEXT,
    SAVED_MODEL_TEXT,
    STATE,
    TEXT_FILE,
    Kind,
)

HEAD_SIZE = 4096
"""How many bytes from the beginning tell what a file is, unless it is a serialized message."""

_TEXTS: tuple[tuple[re.Pattern[bytes], Kind], ...] = (
    (re.compile(rb"<(!doctype html|html)\b", re.IGNORECASE), HTML),
    (re.compile(rb"(?:node|library|versions?)\s*[:{<]"), GRAPH_TEXT),
    (
        re.compile(
            rb"(?:meta_info_def|graph_def|saver_def|collection_def|signature_def|asset_file_def"
            rb"|object_graph_def)\s*[:{<]"
        ),
        META_GRAPH_TEXT,
    ),
    (re.compile(rb"(?:saved_model_schema_version|meta_graphs)\s*[:{<]"), SAVED_MODEL_TEXT),
    (re.compile(rb"\{\s*(\"|\})"), JSON),  # an empty object, or its first key
    # Anywhere in the head, since the fields of a state file come in any order.
    (re.compile(rb"(?m:.*?^\s*(?:all_)?model_checkpoint_paths?\s*:)", re.DOTALL), STATE),
)
"""The beginning of a text, after space and comments -> its kind. The first pattern that matches counts."""

_SPACE_AND_COMMENTS = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|#[^\n]*\n)*")
"""Skipped by protobuf's text format; before them, the byte order mark that some editors write."""

_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def is_text(head: bytes) -> bool:
    """Return whether the first bytes of a file are text.

    A serialized message is not: its first fields have a tag or a length below 0x20.
    """
    return not _NOT_TEXT.search(head)


def recognise_text(head: bytes) -> Kind | None:
    """Return the kind of a text by its first bytes; None if they are not UTF-8."""
    skipped = _SPACE_AND_COMMENTS.match(head)
    start = 0 if skipped is None else skipped.end()
    for pattern, kind in _TEXTS:
        if pattern.match(head, start):
            return kind
    return TEXT_FILE if _is_utf8(head) else None


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return True
