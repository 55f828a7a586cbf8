"""Edits of assets: other contents for the files that a graph reads, and files for further tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ckptfmt.errors import GraphError, NameNotFoundError, PathNotFoundError
from ckptfmt.graph.meta.asset_path import asset_path
from ckptfmt.graph.node import parse_output
from ckptfmt.proto import messages
from ckptfmt.saved_model.draft import Draft, NewFile
from ckptfmt.text.closest import closest_names


def replace_assets(draft: Draft, files: Mapping[str, NewFile]) -> None:
    """Give a model other files to read, by their names in the model or by the tensors of their paths.

    Raises
    ------
    NameNotFoundError
        The model reads no file of that name, and no node of its graph has it.
    PathNotFoundError
        A new file does not exist.
    GraphError
        A file for a further tensor has the name of another one, or the model is one of TensorFlow 2.
    """
    meta = draft.meta_graph()
    known = {asset.filename for asset in meta.assets}
    for name, new in files.items():
        if new.fs is not None and new.fs.path_type(new.path) != "file":
            raise PathNotFoundError("no such file", file=new.path)
        if name in known:
            draft.assets[name] = new
            continue
        if parse_output(name).node not in meta.graph:
            close = closest_names(name, known)
            raise NameNotFoundError(name, file=draft.model.file, noun="asset", close_matches=close)
        _add(draft, name, new)


def add_asset(meta: messages.MetaGraphDef, tensor: str, filename: str) -> None:
    """List a file in a meta graph, and where TensorFlow 1 does too."""
    asset = meta.asset_file_def.add(filename=filename)
    asset.tensor_info.name = tensor
    collected = meta.collection_def["saved_model_assets"].any_list.value.add()
    collected.type_url = "type.googleapis.com/tensorflow.AssetFileDef"
    collected.value = asset.SerializeToString()


def clear_assets(meta: messages.MetaGraphDef) -> None:
    """Let a meta graph list no files."""
    del meta.asset_file_def[:]
    meta.collection_def.pop("saved_model_assets", None)


def _add(draft: Draft, tensor: str, new: NewFile) -> None:
    """Add a file whose path is fed to a tensor."""
    file = draft.model.file
    if draft.meta.object_graph_def.nodes:
        what = "a file cannot be added to a TensorFlow 2 model, whose objects say what reads it; replace one"
        raise GraphError(what, node=tensor, file=file)
    if new.fs is None:
        raise GraphError("a file to add needs a name: pass its path, not its bytes", node=tensor, file=file)
    filename = os.path.basename(new.path)
    asset_path("", filename, file)
    if filename in draft.assets or filename in {asset.filename for asset in draft.meta_graph().assets}:
        raise GraphError(f"the model has a file {filename!r} already", node=tensor, file=file)
    output = parse_output(tensor)
    meta = draft.edit()
    if not meta.asset_file_def:
        # TensorFlow looks into the collection, where older exports list their files, only if this is empty.
        listed = dict.fromkeys(draft.meta_graph().assets)
        clear_assets(meta)
        for asset in listed:
            add_asset(meta, asset.tensor, asset.filename)
    add_asset(meta, str(output), filename)
    draft.assets[filename] = new
