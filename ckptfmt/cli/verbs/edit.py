"""``ckptfmt edit``: a SavedModel written again, with other signatures, variables, tags or assets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import NamedTuple

import click

import ckptfmt
from ckptfmt import SavedModel, Tensors
from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import (
    comma_separated,
    given_limits,
    json_option,
    limits_option,
    overwrite_option,
    path_argument,
    tags_option,
)
from ckptfmt.cli.render.output import note, write_json
from ckptfmt.cli.render.text import escape
from ckptfmt.cli.verb import Verb
from ckptfmt.saved_model.edits import EditedModel, Edits
from ckptfmt.text.quoting import listed

_LISTED = 20
"""The most signatures that the message about the new model lists."""


class Pair(NamedTuple):
    """``LEFT=RIGHT`` on the command line."""

    left: str
    right: str


def _pairs(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> list[Pair]:
    """Click callback of options that take ``LEFT=RIGHT``, separated by commas or given several times."""
    pairs = []
    for text in (each for group in value for each in group.split(",")):
        left, equals, right = text.partition("=")
        if not (left and equals and right):
            raise click.BadParameter(f"got {text!r}, want two names with = between them")
        pairs.append(Pair(left, right))
    return pairs


@click.command(
    "edit",
    cls=Verb,
    short_help="Write a SavedModel with other signatures or variables.",
    examples=[
        "ckptfmt edit training/export/1700000000 -o new/ --set-tags serve,v2",
        "ckptfmt edit saved_model/ -o renamed/ --rename serving_default=predict",
        "ckptfmt edit saved_model/ -o newer/ --variables export/",
        "ckptfmt edit saved_model/ -o constant/ --frozen",
    ],
    json_keys="""
    {"directory", "tags", "signatures": {NAME: {"inputs": {NAME: TENSOR}, "outputs"}}}; a TENSOR that is
    sparse or composite is a list.
    """,
)
@path_argument
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    metavar="DIR",
    shell_complete=complete_files,
    help="The directory to write; it must be new.",
)
@tags_option
@click.option(
    "--signature", metavar="NAME", help="The signature that --inputs, --outputs or --function make or change."
)
@click.option("--inputs", multiple=True, metavar="NAME=TENSOR,…", callback=_pairs, help="Its inputs: x=x:0.")
@click.option("--outputs", multiple=True, metavar="NAME=TENSOR,…", callback=_pairs, help="Its outputs.")
@click.option("--function", metavar="PATH", help="Its function, of a TF2 model: encoder/call.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", callback=_pairs, help="Rename a signature.")
@click.option("--remove", metavar="NAME,NAME", callback=comma_separated, help="Remove signatures.")
@click.option(
    "--variables", metavar="CKPT", shell_complete=complete_files, help="Take new values from a checkpoint."
)
@click.option("--ema", is_flag=True, help="From its moving averages, for variables that have them.")
@click.option("--keep-rest", is_flag=True, help="Variables that CKPT lacks keep their values.")
@click.option("--set-tags", metavar="TAG,TAG", callback=comma_separated, help="Give it these tags instead.")
@click.option(
    "--asset", "assets", multiple=True, metavar="NAME=FILE", callback=_pairs, help="Replace an asset."
)
@click.option("--frozen", is_flag=True, help="Make variables constants.")
@click.option("--no-training", is_flag=True, help="Keep only what signatures need (TF1).")
@click.option("--no-link", is_flag=True, help="Copy files of variables instead of linking them.")
@overwrite_option
@json_option
@limits_option
def command(
    path: str,
    target: str,
    tags: list[str] | None,
    signature: str | None,
    inputs: list[Pair],
    outputs: list[Pair],
    function: str | None,
    rename: list[Pair],
    remove: list[str] | None,
    variables: str | None,
    ema: bool,
    keep_rest: bool,
    set_tags: list[str] | None,
    assets: list[Pair],
    frozen: bool,
    no_training: bool,
    no_link: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Write the SavedModel at PATH to a new directory with some of it changed, without TensorFlow.

    PATH stays as it is. The new directory appears whole or not at all; files of variables that do not change
    are linked, which takes no time and no space.

    Signatures are renamed first, then made or changed, then removed; a part of a signature that is not given
    stays as it was. Then come --no-training, variables, tags and assets, and --frozen last. --tags selects
    the meta graph to change, if there are several.
    """
    if signature is None and (inputs or outputs or function is not None):
        raise click.UsageError("--inputs, --outputs and --function need --signature")
    if signature is not None and not (inputs or outputs or function is not None):
        raise click.UsageError("--signature needs --inputs, --outputs or --function")
    if function is not None and (inputs or outputs):
        raise click.UsageError("--function: the function says what the inputs and outputs are")
    if variables is None and (ema or keep_rest):
        raise click.UsageError("--ema and --keep-rest need --variables")
    with ExitStack() as stack:
        model: SavedModel = stack.enter_context(
            ckptfmt.open_saved_model(path, tags=tags, limits=given_limits())
        )
        edited: Edits = model
        if rename:
            edited = edited.with_signatures(rename=dict(rename))
        if signature is not None:
            parts = {"inputs": dict(inputs), "outputs": dict(outputs)}
            given = {name: each for name, each in parts.items() if each}
            edited = edited.with_signatures({signature: given if function is None else function})
        if remove:
            # Last, because the placeholders of a signature that is removed go if no other has them.
            edited = edited.with_signatures(remove=remove)
        if no_training:
            # Before values are given, so that none is needed for what goes: slots, averages.
            edited = edited.without_training_nodes()
        if variables is not None:
            checkpoint = stack.enter_context(ckptfmt.open(variables, limits=given_limits()))
            edited = edited.with_variables(_values(checkpoint, ema=ema), keep_rest=keep_rest)
        if set_tags is not None:
            edited = edited.with_tags(set_tags)
        if assets:
            edited = edited.with_assets(dict(assets))
        if frozen:
            edited = edited.to_frozen()
        if edited is model:
            raise click.UsageError(
                "nothing to change: pass --rename, --variables, --frozen or another option"
            )
        assert isinstance(edited, EditedModel)
        edited.write(target, overwrite=overwrite, link=not no_link)
        described = _describe(target, edited)
    if as_json:
        write_json(described)
    else:
        names = listed(sorted(edited.signatures), _LISTED, quote=escape) or "none"
        note(f"{target}: tags {', '.join(sorted(edited.meta_graph.tags)) or '(none)'}; signatures: {names}")
    return ExitCode.FINE


def _values(checkpoint: ckptfmt.Checkpoint, *, ema: bool) -> Tensors:
    if not ema:
        return checkpoint
    # Averages are found by the names of variables, which keys do not have.
    return (checkpoint if checkpoint.object_graph is None else checkpoint.by_full_name()).ema()


def _describe(target: str, edited: EditedModel) -> Mapping[str, object]:
    signatures = {
        name: {
            "inputs": {key: info.tensor for key, info in each.inputs.items()},
            "outputs": {key: info.tensor for key, info in each.outputs.items()},
        }
        for name, each in edited.signatures.items()
    }
    return {"directory": target, "tags": sorted(edited.meta_graph.tags), "signatures": signatures}
