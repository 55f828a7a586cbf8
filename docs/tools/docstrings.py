"""An extension of griffe: docstrings as Markdown.

The docstrings are written for ``help()`` and for editors, with the roles of Sphinx and code after ``::``.
Here a role becomes a link if the site describes what it names, and code becomes a fenced block.
"""

from __future__ import annotations

import ast
import logging
import re
import textwrap
import warnings
from functools import partial

import griffe

LOGGER = logging.getLogger("mkdocs.plugins.docstrings")
"""MkDocs counts the warnings of loggers below its own."""

ROLE = re.compile(r":[a-z]+:`(~?)([\w.]+)`")

CODE = re.compile(r"(?:^|(?<=\S))::$\n+(?P<block>(?:^[ ]+\S.*$\n*|^$\n)+)", re.MULTILINE)
"""A line that ends in two colons, and the indented lines after it."""

PAIR = re.compile(r"^(?P<names>\w+(?:, \w+)+)\n(?P<text>(?:[ ]{4}.*(?:\n|\Z))+)", re.MULTILINE)
"""Parameters, or errors, that share one description. Griffe gives them all the type of the first."""

# To griffe, the package's own decorator is then the one of functools that it stands in for.
griffe.stdlib_decorators["ckptfmt.cached_property.cached_property"] = {"property"}


class Markdown(griffe.Extension):
    """Changes the docstrings of the package when all of it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Change the docstrings of a package."""
        public = {member.canonical_path for module in _public_modules(pkg) for member in _exported(module)}
        for module in _modules(pkg):
            _name_errors(module, _exported(pkg["errors"]))
        for obj in _objects(pkg):
            if isinstance(obj, griffe.Class) and "__init__" in obj.members:
                _settle_init(obj, is_public=obj.canonical_path in public)
            if obj.docstring is not None:
                text = ROLE.sub(partial(_link, obj=obj, pkg=pkg, public=public), obj.docstring.value)
                obj.docstring.value = PAIR.sub(_one_by_one, CODE.sub(_fence, text))
            elif obj.name.startswith("__") and obj.name != "__init__" and obj.parent is not None:
                # Most magic methods have no docstring, since their names say what they do.
                obj.parent.del_member(obj.name)
            # These labels say how a member is written, not what a caller may do with it.
            obj.labels -= {"class-attribute", "instance-attribute", "abstractmethod"}


def _public_modules(pkg: griffe.Module) -> list[griffe.Module]:
    """Return the modules whose names users may import."""
    return [pkg, pkg["types"], pkg["errors"], pkg["compat"]]


def _exported(module: griffe.Module) -> list[griffe.Object | griffe.Alias]:
    """Return what the public names of a module stand for, unless it is another package's."""
    return [
        member
        for name, member in module.members.items()
        if not name.startswith("_")
        and (isinstance(member, griffe.Object) or member.target_path.startswith("ckptfmt."))
    ]


def _modules(package: griffe.Module) -> list[griffe.Module]:
    """Return the modules in a package, and in the packages in it."""
    inner = [module for module in package.modules.values() if not module.is_alias]
    return [*inner, *(module for package in inner for module in _modules(package))]


def _name_errors(module: griffe.Module, errors: list[griffe.Object | griffe.Alias]) -> None:
    """Give a module the errors that it does not import: its docstrings name what the modules below raise."""
    for error in errors:
        if error.name not in module.members:
            module.imports[error.name] = error.canonical_path
            module.set_member(error.name, griffe.Alias(error.name, target=error.canonical_path))


def _objects(scope: griffe.Object) -> list[griffe.Object]:
    """Return all objects in a scope, and the scope itself; not those that it imports."""
    inner = [member for member in scope.members.values() if isinstance(member, griffe.Object)]
    return [scope, *(obj for member in inner for obj in _objects(member))]


def _settle_init(cls: griffe.Class, *, is_public: bool) -> None:
    """Give attributes the types of the parameters that they keep, and hide ``__init__`` if it is not public.

    Programs make an object with it only if a docstring says how, or if all fields of a data class are public.
    """
    init = cls["__init__"]
    if not init.is_function:
        return
    for attribute in cls.attributes.values():
        if attribute.annotation is None and str(attribute.value) in init.parameters:
            attribute.annotation = init.parameters[str(attribute.value)].annotation
    if "dataclass" in cls.labels:
        described = not any(parameter.name.startswith("_") for parameter in init.parameters)
    else:
        docstrings = [cls.docstring.value] if cls.docstring is not None else []
        described = init.docstring is not None or any("Parameters" in text for text in docstrings)
    if not (described and is_public):
        cls.del_member("__init__")


def _link(role: re.Match[str], obj: griffe.Object, pkg: griffe.Module, public: set[str]) -> str:
    """Return a link to what a role names, or its name as code if the site does not describe it."""
    short, name = role.groups()
    shown = f"`{name.rpartition('.')[2] if short else name}`"
    named = _find(name, obj, pkg)
    if named is None:
        if _is_described(obj, public):
            LOGGER.warning("%s: nothing is named %s", obj.path, name)
        return shown
    if not _is_described(named, public):
        return shown
    return f"[{shown}][{named.canonical_path}]"


def _is_described(obj: griffe.Object | griffe.Alias, public: set[str]) -> bool:
    """Return whether an object is public, or a member of a public class."""
    owner = obj
    while owner.parent is not None and owner.parent.is_class:
        owner = owner.parent
    return owner.canonical_path in public and re.match("_(?!_)", obj.name) is None


def _find(name: str, obj: griffe.Object, pkg: griffe.Module) -> griffe.Object | griffe.Alias | None:
    """Return what a name means in the docstring of an object; None if it is not part of the package."""
    first, *rest = name.split(".")
    try:
        found: griffe.Object | griffe.Alias
        scope = obj if obj.is_class or obj.parent is None else obj.parent
        if first == pkg.name:
            found = pkg
        elif scope.is_class and first in scope.all_members:
            found = scope.all_members[first]
        else:
            found = pkg.modules_collection[obj.resolve(first)]
        for part in rest:
            found = found.all_members[part]
    except (griffe.GriffeError, KeyError):
        return None
    return found


def _fence(found: re.Match[str]) -> str:
    """Return code in a fence, as Python if it is."""
    block = textwrap.dedent(found["block"]).rstrip("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about backslashes in text that is not Python
        try:
            ast.parse(block)
        except SyntaxError:
            language = "text"
        else:
            language = "python"
    lead = ":\n\n" if found.start() and found.string[found.start() - 1] != "\n" else ""
    return f"{lead}```{language}\n{block}\n```\n\n"


def _one_by_one(found: re.Match[str]) -> str:
    """Return the description again for each name."""
    text = found["text"].rstrip("\n")
    return "".join(f"{name}\n{text}\n" for name in found["names"].split(", "))
