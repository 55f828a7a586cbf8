"""Names of tensors as users type them: stored names, those of verbs and views, ends of names, and globs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import ckptfmt
from ckptfmt import ObjectGraph, Tensors, errors
from ckptfmt.cached_property import cached_property
from ckptfmt.cli.options import given_limits
from ckptfmt.cli.render.text import escape
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.tensors.aliases import find_aliases
from ckptfmt.tensors.renaming import OUTPUT
from ckptfmt.text.patterns import is_glob, matcher

MAX_SUGGESTED = 5
"""Names that an error suggests if a name fits several."""


class TypedNames:
    """Finds tensors by the names that users type.

    A name is looked for in one kind of names after the other, and the first that has it decides: stored
    names, object paths, full names, names of weights, variables of a SavedModel. It may be whole or the end
    of a name; a pattern may match any. Nothing is listed, and neither object graph nor SavedModel read,
    before that is needed.
    """

    def __init__(self, checkpoint: Tensors, path: str) -> None:
        """Take tensors, and the path that led to it, which may be that of a SavedModel."""
        self._checkpoint = checkpoint
        self._path = path
        self._entries = checkpoint.entries

    def find(self, names: Iterable[str]) -> list[str]:
        """Return the stored names of the tensors that names and patterns stand for, each once.

        Raises TensorNotFoundError for the first name that fits none, or several without being a pattern.
        """
        return list(dict.fromkeys(stored for name in names for stored in self._find(name)))

    def is_pattern(self, name: str) -> bool:
        """Return whether a name stands for all tensors that match it; one with brackets may also be whole."""
        return is_glob(name) and self._whole(name) is None

    def _find(self, name: str) -> Sequence[str]:
        whole = self._whole(name)
        if whole is not None:
            return [whole]
        if self.is_pattern(name):
            return self.matching(name)
        ends = (f"/{name}", f"/{name.removesuffix(OUTPUT)}")
        tensors = self._matching(lambda known: f"/{known}".endswith(ends))
        if not tensors:
            self._entries[name]  # raises the error that suggests close names
        if len(tensors) > 1:
            raise self._ambiguous(name, tensors)
        return tensors

    def _whole(self, name: str) -> str | None:
        """Return the tensor of a whole name; TensorNotFoundError if it is an object with several."""
        plain = name.removesuffix(OUTPUT)
        for each in (name, name + VARIABLE_VALUE, plain, plain + VARIABLE_VALUE, name + OUTPUT):
            if each in self._entries:
                return each
        if "\\" in name:  # perhaps as ls prints it
            printed = next((each for each in self._entries if escape(each) == name), None)
            if printed is not None:
                return printed
        if self._graph is None:
            # Weights and variables have their stored names then.
            return self._model.get(plain)
        for alias in find_aliases(self._graph, name):
            if len(alias.keys) == 1:
                return alias.keys[0]
            # Of several variables with one name, listings may give it to one and others to the rest.
            printed = self._printed(name)
            if printed is not None:
                return printed
            short = self._graph.short_names()
            raise self._ambiguous(name, [short.get(key, key) for key in alias.keys])
        return self._walked.get(name) or self._printed(name)

    def _printed(self, name: str) -> str | None:
        """Return the tensor that a listing shows under a name; there, each has a name of its own."""
        names = (self._weights, self._full, self._model)
        return next((stored for each in names if (stored := each.get(name.removesuffix(OUTPUT)))), None)

    def matching(self, pattern: str) -> list[str]:
        """Return the tensors that have a name of any kind that matches, in the order of the index.

        The first kind that has matches does not decide here: Keras 3 stores some variables of a layer under
        paths that begin with the model, and some under paths that begin with the optimizer.
        """
        test = matcher([pattern])
        matching = {stored for names in self._kinds() for name, stored in names if test(name)}
        if not matching:
            what = f"no tensor matches {pattern!r}"
            raise errors.TensorNotFoundError(pattern, file=self._checkpoint.prefix, what=what)
        return [name for name in self._entries if name in matching]

    def _matching(self, test: Callable[[str], object]) -> list[str]:
        """Return the tensors whose names pass a test; the first kind of names with any such decides."""
        for names in self._kinds():
            # By tensor: full names need not be unique, as those that Keras 3 exports are not.
            found = list(dict.fromkeys(stored for name, stored in names if test(name)))
            if found:
                return found
        return []

    def _kinds(self) -> Iterator[Iterable[tuple[str, str]]]:
        """Yield the names of each kind, with the tensors that they stand for."""
        yield self._stored()
        if self._graph is not None:
            yield ((name, key) for key, name in self._graph.short_names().items())
            yield self._walked.items()
            yield ((name, key) for key, name in self._graph.full_names.items())
            yield self._weights.items()
        yield self._model.items()

    def _stored(self) -> Iterator[tuple[str, str]]:
        """Yield the stored names, with and without the ends that users leave out."""
        for name in self._entries:
            yield name, name
            short = name.removesuffix(VARIABLE_VALUE).removesuffix(OUTPUT)
            if short != name:
                yield short, name

    @cached_property
    def _graph(self) -> ObjectGraph | None:
        # A damaged graph is reported when it is asked for; tensors are found without it.
        with suppress(errors.CkptfmtError):
            return self._checkpoint.object_graph
        return None

    @cached_property
    def _walked(self) -> Mapping[str, str]:
        """The tensors under the paths that ``ckptfmt tree`` prints."""
        with suppress(errors.LimitError):
            if self._graph is not None:
                walked = self._graph.short_names_below(self._graph.root)
                return {path: key for key, path in walked.items()}
        return {}

    @cached_property
    def _weights(self) -> Mapping[str, str]:
        """The tensors under the names that ``--weights`` prints."""
        with suppress(errors.CkptfmtError):
            rows = self._checkpoint.weights.explain()
            return {row.name: row.stored for row in rows if row.name is not None}
        return {}

    @cached_property
    def _full(self) -> Mapping[str, str]:
        """The tensors under the names that ``--names full`` prints."""
        with suppress(errors.CkptfmtError):
            stored = self._checkpoint.by_full_name()._stored()
            return {name: each for name, each in stored.items() if each is not None}
        return {}

    @cached_property
    def _model(self) -> Mapping[str, str]:
        """The tensors of the variables that ``ckptfmt model`` prints, if they are those of a SavedModel."""
        for path in (self._path, os.path.dirname(os.path.dirname(self._checkpoint.prefix)) or os.curdir):
            with (
                suppress(errors.CkptfmtError),
                ckptfmt.open_saved_model(path, limits=given_limits()) as model,
            ):
                sources = model.variables.sources.items()
                return {name: each.name for name, each in sources if each.name in self._entries}
        return {}

    def _ambiguous(self, name: str, known: Sequence[str]) -> errors.TensorNotFoundError:
        close = known[:MAX_SUGGESTED]
        return errors.TensorNotFoundError(name, file=self._checkpoint.prefix, close_matches=close)
