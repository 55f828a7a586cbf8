"""``ckptfmt model``: what is in a SavedModel."""

from __future__ import annotations

import click

import ckptfmt
from ckptfmt import errors
from ckptfmt.cli.failures import ExitCode, message_of
from ckptfmt.cli.options import comma_separated, given_limits, json_option, limits_option, path_argument
from ckptfmt.cli.render.model import model_lines
from ckptfmt.cli.render.output import complain, note, write_json, write_lines
from ckptfmt.cli.render.terminal import on_screen
from ckptfmt.cli.render.text import count_text
from ckptfmt.cli.verb import Verb
from ckptfmt.cli.verbs.model.document import ModelDocument
from ckptfmt.text.closest import closest_names

MAX_COMPLAINTS = 10
"""The most lines about damaged and missing parts; a damaged file may have any number of them."""


@click.command(
    "model",
    cls=Verb,
    short_help="Show what is in a SavedModel.",
    examples=[
        "ckptfmt model training/export/1700000000",
        "ckptfmt model saved_model/ --signature serving_default",
        "ckptfmt model saved_model/ --tags serve --json",
        "ckptfmt model saved_model/ --json | jq '.meta_graphs[].unreached.variables'",
    ],
    json_keys="""
    {"directory", "meta_graphs": [...], "variables": [{"name", "key", "dtype", "shape", "nbytes", "stored",
    "used"}], "assets": [{"filename", "tensor", "exists", "used"}], "assets_extra", "fingerprint",
    "keras_layers": [{"path", "name", "class_name", "weights": [{"name", "dtype", "shape", "key"}],
    "parameters"}]}, and for each meta graph {"tags", "tensorflow_version", "nodes", "functions", "ops": {OP:
    COUNT}, "signatures": {NAME: {"method", "inputs": {NAME: {"tensor", "dtype", "shape"}}, "outputs",
    "defaults", "reach"}}, "init_op", "unreached", "object_functions": [{"path", "aliases", "node",
    "parameters", "traces"}], "concrete_functions": {TRACE: {"arguments": [{"name", "value"}],
    "keyword_arguments": {NAME: VALUE}, "outputs": VALUE, "captures"}}}.

    A "tensor" is "node:k", or a list if it is sparse or composite and has several; "shape" has null for what
    is not known. "functions" is how many the library has, "ops" counts the nodes in their bodies too.
    "init_op" is the node that TensorFlow runs after loading, for example to fill tables, or null. "reach" and
    "unreached" are {"variables", "bytes", "assets", "functions"}: what a signature uses, and what no
    signature uses; "bytes" is null if the checkpoint is missing. "used" says whether any signature uses it,
    and is null if that is not known or there are no signatures; "stored" whether the checkpoint has it.
    "traces" are concrete functions, one for each kind of arguments. A VALUE is null, true, a number, a string
    or a list as it is, else an object with "kind": "tensor" with "name", "dtype" and "shape", "tuple", "dict"
    or "named_tuple" with "items", "type_spec" with "name" and "state", "dtype", or "array".

    A part that cannot be read is {"error": {"type", "message", "file", "offset", ...}}, and a list of parts
    then has this as its only item; the exit code is 3, or 4 if a file cannot be opened.
    """,
)
@path_argument
@click.option(
    "--tags",
    metavar="TAG,TAG",
    callback=comma_separated,
    help="Show only the meta graph with exactly these tags.",
)
@click.option("--signature", metavar="NAME", help="Show only this signature.")
@click.option("--functions", "every", is_flag=True, help="Show the functions of all objects.")
@json_option
@limits_option
def command(path: str, tags: list[str] | None, signature: str | None, every: bool, as_json: bool) -> int:
    """Show what is in the SavedModel at PATH, a directory or the file in it, without running it.

    For each meta graph: its tags, operations and signatures, the parts of the model that each signature uses
    and those that none uses, and the functions of the model, for each kind of arguments. Then the variables
    with the checkpoint keys that they are restored from, assets, the layers of Keras 2 and their weights, and
    the fingerprint.

    If a part cannot be read, the reason is shown in its place, and on stderr. Variables and assets that are
    missing are listed with MISSING, and stderr says which files or tensors they lack.
    """
    with ckptfmt.open_saved_model(path, tags=tags, limits=given_limits()) as model:
        metas = [model.meta_graph] if tags is not None else list(model.meta_graphs)
        known = sorted({name for meta in metas for name in meta.signatures})
        if signature is not None and signature not in known:
            close = closest_names(signature, known) or known[:5]
            raise errors.NameNotFoundError(signature, file=path, noun="signature", close_matches=close)
        document = ModelDocument(model, signature, every=every or as_json)
        described = document.describe(metas)
    if as_json:
        write_json(described)
    else:
        write_lines(map(on_screen, model_lines(described)))
        if document.hidden:
            hidden, them = count_text(document.hidden, "function"), "it" if document.hidden == 1 else "them"
            note(f"{hidden} of other objects hidden; pass --functions to show {them}")
    _complain(document)
    if any(isinstance(error, errors.NotReadableError) for error in document.failures):
        return ExitCode.NOT_FOUND
    return ExitCode.DAMAGED if document.failures else ExitCode.FINE


def _complain(document: ModelDocument) -> None:
    """Say on stderr what is damaged and what is missing, each once."""
    messages = list(dict.fromkeys(map(message_of, [*document.failures, *document.missing])))
    for message in messages[:MAX_COMPLAINTS]:
        complain(message)
    if len(messages) > MAX_COMPLAINTS:
        complain(f"and {len(messages) - MAX_COMPLAINTS:,} more")
