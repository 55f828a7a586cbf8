"""Kinds: the table of what a file may turn out to be, and what reads it.

An entry says everything about a kind, and has a test file. TensorFlow's files, and those that a
failed download leaves, are here; those of other programs are in :mod:`ckptfmt.filetype.foreign_models` and
:mod:`ckptfmt.filetype.foreign_files`.

This is the only module below the command line that names functions and verbs of higher levels, so that a test
can check all these names.
"""

from __future__ import annotations

import re

from ckptfmt.filenames import DATA_SUFFIX
from ckptfmt.filetype import foreign_messages, messages
from ckptfmt.filetype.details import error_code, first_line
from ckptfmt.filetype.foreign_files import FILE_KINDS
from ckptfmt.filetype.foreign_models import MEDIAPIPE, MODEL_KINDS
from ckptfmt.filetype.kind import Holds as Holds
from ckptfmt.filetype.kind import Kind as Kind
from ckptfmt.filetype.signs import (
    Sign,
    Strength,
    begins,
    fields,
    has,
    is_empty,
    is_event_record,
    is_record,
    is_safetensors,
    is_zeros,
    json,
    message,
    table_of,
    text_begins,
)
from ckptfmt.memmapped import is_package
from ckptfmt.riegeli.block import SIGNATURE

_CHECKPOINT = "ckptfmt.open reads it and 'ckptfmt ls' lists it"
_LATEST = "ckptfmt.open reads the latest and 'ckptfmt ls' lists it"
_GRAPH = "ckptfmt.read_graph reads it and 'ckptfmt graph' shows it"
_META_GRAPH = "ckptfmt.read_meta_graph reads it and 'ckptfmt graph' shows it"
_SAVED_MODEL = "ckptfmt.open_saved_model reads it and 'ckptfmt model' shows it"
_PART_OF_SAVED_MODEL = "ckptfmt.open_saved_model reads it with its directory and 'ckptfmt model' shows it"
_DOWNLOAD = "the download went wrong"

# Graphs and SavedModels
GRAPH = Kind(
    "a GraphDef (a graph, perhaps frozen)",
    _GRAPH,
    (message(messages.is_graph, Strength.MESSAGE),),
    holds=Holds.GRAPH,
)
GRAPH_TEXT = Kind(
    "a GraphDef as text", _GRAPH, (text_begins(rb"(?:node|library|versions?)\s*[:{<]"),), holds=Holds.GRAPH
)
MEMMAPPED = Kind(
    "a memory-mapped graph (.pbmm)",
    _GRAPH,
    (Sign(Strength.STRUCTURE, lambda look: is_package(look.file)),),
    holds=Holds.GRAPH,
)
META_GRAPH = Kind(
    "a MetaGraphDef (.meta)",
    _META_GRAPH,
    (message(messages.is_meta_graph, Strength.MESSAGE),),
    holds=Holds.META_GRAPH,
)
META_GRAPH_TEXT = Kind(
    "a MetaGraphDef as text",
    _META_GRAPH,
    (
        text_begins(
            rb"(?:meta_info_def|graph_def|saver_def|collection_def|signature_def|asset_file_def"
            rb"|object_graph_def)\s*[:{<]"
        ),
    ),
    holds=Holds.META_GRAPH,
)
SAVED_MODEL = Kind(
    "a SavedModel message",
    _SAVED_MODEL,
    (message(messages.is_saved_model),),
    holds=Holds.SAVED_MODEL,
)
SAVED_MODEL_TEXT = Kind(
    "a SavedModel as text",
    _SAVED_MODEL,
    (text_begins(rb"(?:saved_model_schema_version|meta_graphs)\s*[:{<]"),),
    holds=Holds.SAVED_MODEL,
)
SAVED_MODEL_DIRECTORY = Kind(
    "a SavedModel",
    _SAVED_MODEL,
    directory=(has(r"saved_model\.(pb|pbtxt|cpb)"),),
    holds=Holds.SAVED_MODEL,
)
SPLIT = Kind(
    "a split message (.cpb), as a large SavedModel is stored",
    _SAVED_MODEL,
    (begins(b"(?:%s)" % b"".join(rb"\x%02x" % byte for byte in SIGNATURE)),),
)
FINGERPRINT = Kind(
    "the fingerprint of a SavedModel",
    _PART_OF_SAVED_MODEL,
    (message(messages.is_fingerprint),),
)
KERAS_METADATA = Kind(
    "the Keras 2 metadata of a SavedModel",
    _PART_OF_SAVED_MODEL,
    (message(messages.is_keras_metadata),),
)
HUB_MARKER = Kind(
    "the marker of a TF1 Hub module, without a graph of its own",
    _PART_OF_SAVED_MODEL,
    (begins(rb"\x08\x03(?:\x12[\x01-\x7f][ -~]+)*\Z"),),
)
RUN_METADATA = Kind(
    "the statistics of a step (RunMetadata)",
    "tf.compat.v1.RunMetadata.FromString reads it",
    (message(messages.is_run_metadata),),
)
DATASET = Kind(
    "a data set that tf.data saved",
    "tf.data.Dataset.load reads the directory",
    directory=(has(r"snapshot\.metadata|dataset_spec\.pb"), has(r"\d{8}\.shard/")),
    name=re.compile(r"(?:\A|[/\\])(?:snapshot\.metadata|dataset_spec\.pb|\d{8}\.snapshot)\Z"),
)
OP_LIST = Kind(
    "a list of operations (OpList)",
    "",
    (
        fields("op.name", "op.input_arg"),
        fields("op.name", "op.output_arg"),
        fields("op.name", "op.attr"),
        message(foreign_messages.is_op_list),
    ),
)

# Checkpoints
INDEX = Kind("the index of a checkpoint", _CHECKPOINT, (table_of("v2"),), holds=Holds.CHECKPOINT)
V1 = Kind("a V1 checkpoint", _CHECKPOINT, (table_of("v1"),), holds=Holds.CHECKPOINT)
BROKEN_TABLE = Kind(
    "a damaged table, perhaps the index of a checkpoint",
    _CHECKPOINT,
    (table_of("damaged"),),
    holds=Holds.CHECKPOINT,
)
DATA = Kind(
    "a data file of a checkpoint, judging by its name", _CHECKPOINT, name=DATA_SUFFIX, holds=Holds.CHECKPOINT
)
PREFIX = Kind("the prefix of a checkpoint", _CHECKPOINT, holds=Holds.CHECKPOINT)
STATE = Kind(
    "a checkpoint state file",
    _LATEST,
    # Anywhere, since the fields of a state file come in any order.
    (text_begins(rb"(?m:^\s*(?:all_)?model_checkpoint_paths?\s*:)", anywhere=True),),
    holds=Holds.CHECKPOINT,
)
DIRECTORY = Kind(
    "a directory of checkpoints",
    _LATEST,
    directory=(has("checkpoint"), has(r".*\.index")),
    holds=Holds.CHECKPOINT,
)
TABLE = Kind("a sorted table, as LevelDB writes them", "", (table_of("other"),))

# Records
EVENTS = Kind(
    "a TensorBoard event file",
    "ckptfmt.open_events reads it and 'ckptfmt events' shows it",
    (Sign(Strength.STRUCTURE, is_event_record),),
    holds=Holds.EVENTS,
)
RECORDS = Kind(
    "a TFRecord file",
    "ckptfmt.open_records reads it and 'ckptfmt records' shows it",
    (Sign(Strength.STRUCTURE, is_record),),
    holds=Holds.RECORDS,
)

SAFETENSORS = Kind(
    "a safetensors file",
    "ckptfmt.open_tensors reads it and 'ckptfmt ls' lists it",
    # Surer than the first bytes of any other kind, which a size may happen to be: 80 02 also begins a pickle.
    (Sign(Strength.MAGIC, is_safetensors),),
    tensors="safetensors",
)

# Left by a failed download or copy
LFS_POINTER = Kind(
    "a Git LFS pointer, not the file it stands for",
    "run 'git lfs pull'",
    (begins(rb"version https://(?:git-lfs|hawser)"),),
)
ANNEX_POINTER = Kind(
    "a git-annex pointer, not the file it stands for",
    "run 'git annex get'",
    # The content of an unlocked file; or that of a link, on a file system or from an archive without links.
    (begins(rb"/annex/objects/|(?:\.\./)*\.git/annex/objects/"),),
)
DVC_POINTER = Kind(
    "a DVC file, not the file it stands for",
    "run 'dvc pull'",
    (text_begins(rb"outs:\s*-\s+(?:md5|etag|hash):"),),
)
STORE_ERROR = Kind(
    "an XML error message of an object store",
    _DOWNLOAD,
    (text_begins(rb"(?s:(?:<\?xml.{0,200}?\?>\s*)?<Error\b)"),),
    detail=error_code,
)
HTML = Kind(
    "an HTML page",
    _DOWNLOAD,
    (
        text_begins(
            rb"(?is:(?:<\?xml.{0,200}?\?>\s*)?(?:<!--.{0,2000}?-->\s*){0,9}"
            rb"<(?:!doctype html|html|head|body|title)\b)"
        ),
    ),
)
JSON_ERROR = Kind(
    "an error message in JSON",
    _DOWNLOAD,
    (
        json("error"),
        json("errors"),
        json("message", "documentation_url"),
        text_begins(rb'\{\s*"detail"\s*:\s*"'),
    ),
    detail=first_line,
)
NOT_FOUND = Kind(
    "an error message of a web server",
    _DOWNLOAD,
    (
        text_begins(
            rb"(?i:404: not found|not found|entry not found|access denied|invalid username or password)"
        ),
    ),
    detail=first_line,
)
EMPTY = Kind("an empty file", "", (Sign(Strength.MAGIC, is_empty),))
ZEROS = Kind(
    "a file of zeros, as a full disk or a copy that was cut short leaves",
    "copy it again",
    (Sign(Strength.LAST, is_zeros),),
)

JSON = Kind("a JSON file", "", (text_begins(rb"\{\s*(?:\"|\})"),))  # an empty object, or its first key
XML = Kind("an XML file", "", (text_begins(rb"<\?xml\b"),), detail=first_line)
UTF_16 = Kind(
    "a text in UTF-16, as Windows PowerShell writes", "convert it to UTF-8", (begins(rb"\xff\xfe|\xfe\xff"),)
)
TEXT_FILE = Kind(
    "a text file",
    "",
    (Sign(Strength.ANY_TEXT, lambda look: look.is_utf8 and bool(look.size)),),
    detail=first_line,
)
"""Text of any other kind."""

_OWN: tuple[Kind, ...] = (
    *(EMPTY, LFS_POINTER, ANNEX_POINTER, SPLIT, HUB_MARKER, UTF_16),
    # A package first: its sign is at its end, and its first bytes are those of tensors, which may be any.
    *(MEMMAPPED, SAFETENSORS, EVENTS, RECORDS, INDEX, V1, BROKEN_TABLE, TABLE),
    *(HTML, STORE_ERROR, DVC_POINTER, GRAPH_TEXT, META_GRAPH_TEXT, SAVED_MODEL_TEXT),
    *(SAVED_MODEL, FINGERPRINT, KERAS_METADATA, RUN_METADATA, OP_LIST, GRAPH, META_GRAPH),
    *(SAVED_MODEL_DIRECTORY, DIRECTORY, DATASET, DATA, PREFIX),
)
_ANY: tuple[Kind, ...] = (STATE, NOT_FOUND, JSON_ERROR, JSON, XML, TEXT_FILE, ZEROS)

FOREIGN_KINDS: tuple[Kind, ...] = (MEDIAPIPE, *MODEL_KINDS, *FILE_KINDS)
"""The kinds of other programs."""

KINDS: tuple[Kind, ...] = (MEDIAPIPE, *_OWN, *MODEL_KINDS, *FILE_KINDS, *_ANY)
"""All kinds. Among signs of the same strength, those of earlier kinds count first."""
