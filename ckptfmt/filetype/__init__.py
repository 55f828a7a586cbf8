"""File types: what a file is, going by its content, and what reads it.

Every opener can refuse a file and say what it is, but few have to. So the table of kinds is loaded when one
of the names below is used.
"""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "content": "recognise recognise_file recognise_look",
        "kinds": "EMPTY Holds Kind LFS_POINTER META_GRAPH SAVED_MODEL_DIRECTORY STATE TEXT_FILE",
        "look": "Look",
        "paths": "recognise_name recognise_path",
        "refusal": "conversion_of example_in misfit refusal_of",
        "texts": "is_text",
    },
)
