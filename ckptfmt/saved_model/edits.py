"""Edits of SavedModels: what a model would be with other variables, signatures, tags or assets.

``with_…`` methods return an :class:`EditedModel`, which has the same methods, so that edits add up. Nothing
happens until :meth:`~Edits.write` writes the result to a new directory::

    model.with_variables(ckpt.ema()).with_signatures(rename={"old": "new"}).write("model/2")
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ckptfmt.arrays.decode import to_array
from ckptfmt.cached_property import cached_property
from ckptfmt.errors import GraphError
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.signature import Signatures
from ckptfmt.graph.meta.signature_def import SignatureLike, encode_signature
from ckptfmt.notebook.card import Card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.saved_model.asset_edits import replace_assets
from ckptfmt.saved_model.draft import Draft, Edit, Model, NewFile
from ckptfmt.saved_model.function_call import call_function
from ckptfmt.saved_model.new_values import replace_values
from ckptfmt.saved_model.owners import owners_of
from ckptfmt.saved_model.serving import freeze_model, remove_training
from ckptfmt.saved_model.signature_edits import SignatureEdits
from ckptfmt.saved_model.writing import write_draft
from ckptfmt.saving.sources import Savable
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import absolute_path, filesystem_of


class Edits(ABC):
    """What a model and an edited model can both be asked for."""

    @abstractmethod
    def _edited(self, *edits: Edit) -> EditedModel:
        """Return the model with further edits."""

    def with_variables(self, values: Savable, *, keep_rest: bool = False) -> EditedModel:
        """Return the model with new values for its variables.

        Parameters
        ----------
        values
            The values by name: another checkpoint of the training, a view of one (``ckpt.ema()``), any
            mapping to arrays, nested or not, or several of these. Names are those of the tensors in the
            model's own checkpoint, or of the variables in its graph. Tensors that the model does not have are
            ignored.
        keep_rest
            Whether variables without a new value keep their old one; then each value must be that of a
            variable.

        Notes
        -----
        :meth:`write` raises NameNotFoundError for variables without a value, GraphError for values of another
        shape or dtype, before it writes anything. Values are read when it writes them.
        """
        owners = owners_of(values)
        return self._edited(lambda draft: replace_values(draft, owners, keep_rest=keep_rest))

    def with_signatures(
        self,
        signatures: Mapping[str, SignatureLike | str | None] | None = None,
        *,
        rename: Mapping[str, str] | None = None,
        remove: str | Iterable[str] = (),
    ) -> EditedModel:
        """Return the model with other signatures; those that are not mentioned stay.

        Parameters
        ----------
        signatures
            Signatures to add or to change, by name: ``{"embed": {"inputs": {"x": "x:0"}, "outputs": {"y":
            "pool/mean:0"}}}``, with tensors of the graph; or signatures of a model, or SignatureDef messages.
            If one of that name exists, a part that is not given stays: its inputs, its outputs, its method.
            A text names a function of a TensorFlow 2 model, by its path among
            :attr:`SavedModel.object_functions` or by the name of a trace: ``{"embed": "encoder/call"}``. None
            removes a signature.
        rename
            New names by old ones, exchanged at once. Changes and then removals come after that.
        remove
            Names of signatures to remove.

        Notes
        -----
        Both sides of a TensorFlow 2 model change: the tensors that sessions and servers run, and the
        functions that ``tf.saved_model.load`` returns. The graph of such a model has what signatures take and
        return, and not what is computed in functions.

        :meth:`write` raises NameNotFoundError if a signature or a tensor does not exist, NameConflictError if
        a new name is taken, GraphError if a tensor is not in the graph or depends on a placeholder that is
        not an input.
        """
        given = dict(signatures or {})
        names = dict(rename or {})
        removed = [remove] if isinstance(remove, str) else list(remove)
        if both := [name for name in removed if given.get(name) is not None]:
            raise ValueError(f"signature {both[0]!r}: got one to add and to remove")
        removed += [name for name, signature in given.items() if signature is None]

        def edit(draft: Draft) -> None:
            meta = draft.edit()
            edits = SignatureEdits(meta, draft.objects, draft.model.file)
            edits.rename(names)
            for name, signature in given.items():
                if isinstance(signature, str):
                    new = call_function(meta, name, signature, edits.objects, draft.model.file)
                    edits.put(name, new)
                elif signature is not None:
                    known = meta.signature_def.get(name, None)
                    graph = draft.meta_graph().graph
                    edits.put(name, encode_signature(_completed(signature, known), graph, name))
            # Last, because new signatures may use what these do.
            edits.remove(removed)

        return self._edited(edit)

    def with_tags(self, tags: str | Iterable[str]) -> EditedModel:
        """Return the model with other tags, by which TensorFlow chooses a meta graph: ``["serve", "gpu"]``.

        :meth:`write` raises GraphError if another meta graph has exactly these tags.
        """
        new = [tags] if isinstance(tags, str) else list(dict.fromkeys(tags))

        def edit(draft: Draft) -> None:
            for number, other in enumerate(draft.message.meta_graphs):
                if number != draft.number and set(other.meta_info_def.tags) == set(new):
                    raise GraphError(
                        f"another meta graph has the tags {', '.join(sorted(new)) or '(none)'}",
                        file=draft.model.file,
                    )
            info = draft.edit().meta_info_def
            del info.tags[:]
            info.tags.extend(new)

        return self._edited(edit)

    def with_assets(
        self,
        assets: Mapping[str, str | os.PathLike[str] | bytes],
        *,
        fs: Filesystem | None = None,
    ) -> EditedModel:
        """Return the model with other files for its graph to read, such as vocabularies.

        Parameters
        ----------
        assets
            For each file, by its name in the model, the path of the new file or its bytes: ``{"vocab.txt":
            "new/words.txt"}``. The name stays. A tensor of the graph, ``path:0``, adds a file whose path
            TensorFlow feeds to it.
        fs
            The file system of the paths, by default this machine's.

        Notes
        -----
        :meth:`write` raises NameNotFoundError if the model reads no file of that name and has no such tensor,
        and PathNotFoundError if a new file does not exist.
        """
        source = filesystem_of(fs=fs)
        new = {
            name: NewFile(None, name, bytes(content))
            if isinstance(content, (bytes, bytearray, memoryview))
            else NewFile(source, absolute_path(os.fspath(content), source))
            for name, content in assets.items()
        }
        return self._edited(lambda draft: replace_assets(draft, new))

    def to_frozen(self, *, constants: Mapping[str, Any] | None = None) -> EditedModel:
        """Return the model with its variables as constants, for programs that restore no checkpoint.

        Values of placeholders, ``{"is_training": False}``, become constants too; signatures lose these
        inputs.

        Its signatures and assets stay, its tags too. It has no objects any more, so ``tf.saved_model.load``
        returns its signatures only; other meta graphs are left out.

        :meth:`write` raises the errors of :func:`ckptfmt.freeze`.
        """
        return self._edited(lambda draft: freeze_model(draft, constants or {}))

    def without_training_nodes(self) -> EditedModel:
        """Return the model with only what its signatures need: no optimizer, gradients, losses or summaries.

        Variables that only training uses, such as an optimizer's slots, leave the checkpoint too, and the
        Saver gets new nodes.

        :meth:`write` raises UnsupportedError for a model of TensorFlow 2, whose functions are bound to its
        objects; :meth:`to_frozen` leaves only what its signatures need.
        """
        return self._edited(remove_training)

    def write(
        self,
        directory: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        link: bool = True,
        fs: Filesystem | None = None,
    ) -> str:
        """Write the model to a directory, and return its path; the model that was read stays as it is.

        The directory appears when it is whole. Files of variables that do not change become hard links, if
        the system can make them, which takes neither time nor space; all others are copied. A message of 2
        GiB or more is written as ``saved_model.cpb``, which :func:`open_saved_model` reads, and which
        ``tf.saved_model.load`` of TensorFlow 2.21 does not.

        Parameters
        ----------
        directory
            The new directory. Those above it are made.
        overwrite
            Whether a SavedModel that is there may be replaced, with all of its files. A directory with
            anything else in it is never replaced.
        link
            Whether the files of variables may be shared with the model that was read. Pass False if either
            is changed in place later, or if they must not share an owner and permissions.
        fs
            The file system to write to, by default this machine's.

        Raises
        ------
        AlreadyExistsError
            The directory exists, and ``overwrite`` is not given or it has more than a SavedModel.
        NotWritableError
            The system refuses, or the directory is within that of the model.
        GraphError
            An edit does not fit the model.
        """
        path = os.fspath(directory)
        write_draft(self._edited()._draft, path, overwrite=overwrite, link=link, fs=filesystem_of(fs=fs))
        return path


class EditedModel(Edits):
    """A SavedModel with edits, which happen when it is written."""

    def __init__(self, model: Model, edits: Sequence[Edit] = ()) -> None:
        self._model = model
        self._edits = tuple(edits)

    def _edited(self, *edits: Edit) -> EditedModel:
        return EditedModel(self._model, (*self._edits, *edits)) if edits else self

    @cached_property
    def _draft(self) -> Draft:
        draft = Draft(self._model)
        for edit in self._edits:
            edit(draft)
        return draft

    @property
    def message(self) -> messages.SavedModel:
        """The SavedModel message with the edits; raises what :meth:`write` would if they do not fit."""
        return self._draft.message

    @property
    def meta_graph(self) -> MetaGraph:
        """The selected meta graph with the edits; raises the same errors as :attr:`message`."""
        return self._draft.meta_graph()

    @property
    def signatures(self) -> Signatures:
        """The signatures with the edits; raises the same errors as :attr:`message`."""
        return self.meta_graph.signatures

    def _card(self) -> Card:
        facts = (("edits", len(self._edits)), ("signatures", lambda: ", ".join(self.signatures) or None))
        return Card("EditedModel", self._model.directory, facts)

    def _repr_html_(self) -> str:
        return to_html(self._card)

    def __repr__(self) -> str:
        count = len(self._edits)
        return f"<EditedModel {self._model.directory!r}, {count} {'edit' if count == 1 else 'edits'}>"


def _completed(signature: SignatureLike, known: messages.SignatureDef | None) -> SignatureLike:
    """Return a signature with the parts of the known one that it does not mention."""
    if known is None or not isinstance(signature, Mapping):
        return signature
    kept: dict[str, Any] = {"inputs": known.inputs, "outputs": known.outputs}
    if "method_name" not in signature:
        kept["method"] = known.method_name
    if "inputs" not in signature:
        kept["defaults"] = {key: to_array(value) for key, value in known.defaults.items()}
    return {**kept, **signature}
