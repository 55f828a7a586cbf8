"""Scope variables: the model's own tensors in a checkpoint of names, judged by the names.

A tensor is the model's unless one of these rules, each a function here or in :mod:`ckptfmt.tensors.owners`,
says otherwise. The names that optimizers use are in :mod:`ckptfmt.tensors.training_names`. An output number,
as in ``w/Adam:0``, is not looked at.

===============================================  ====================================================
left out                                         rule
===============================================  ====================================================
``global_step``, ``beta1_power_1``               :func:`_is_bookkeeping`
``good_steps`` beside ``loss_scale``             :func:`_is_in_company`
``dense/kernel/Adam``, ``train/w/Adam_1``        :func:`.slot_variable`, a known name
``dense/kernel_slot_vr``                         :func:`_is_appended`
``embedding/RMSProp/ms``                         :func:`_is_below_optimizer`
``Adam/m/dense/kernel``                          :func:`_is_keras_slot`
``adam/dense_kernel_momentum``                   :func:`_is_keras_3_slot`
``FP32-master-copy/dense/kernel``                :func:`_is_copy`
``dense/kernel/own_slot``                        :func:`.alike_variable`, any name, the variable's shape
``train/b/own_slot``                             :func:`_is_slot_outside_scopes`
``dense/kernel/MyOpt_1`` of any shape            :func:`_is_slot_of_known_optimizer`
``bn/mean/biased``, ``bn/mean/local_step``       :func:`_is_debias_slot`
``loss/avg``                                     :func:`_is_average_of_loss`
``training/Adagrad/decay``                       :func:`_hyperparameter_scopes`
``iter`` and ``learning_rate`` outside scopes    :func:`_settings_outside_scopes`
===============================================  ====================================================
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Set
from itertools import islice

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.tensors.owners import alike_variable, beginnings, is_alike, is_master, may_be_slot, slot_variable
from ckptfmt.tensors.renaming import MAX_SCOPES, below_scopes, plain_names
from ckptfmt.tensors.training_names import (
    AGGREGATED,
    AGGREGATOR,
    APPENDED,
    APPENDED_COPY,
    APPENDED_SLOT,
    AVERAGES,
    BOOKKEEPING,
    COMPANIES_OF,
    COPY_SCOPES,
    COUNTERS,
    DEBIAS_SLOTS,
    FACTORED,
    HYPERPARAMETERS,
    KERAS_COUNTER,
    KERAS_OPTIMIZERS,
    KERAS_SLOT,
    NESTED_SLOT,
    OPTIMIZERS,
    SLOT_PREFIXES,
    SLOTS,
    STATISTICS_SCOPES,
    TRAINING_SCOPE,
    UNNAMED,
    UNSHRINKED,
)

MAX_WORDS = 3
"""Words in the name of a slot: ``accumulated_delta_var`` has the most."""

_NUMBERED = re.compile(r"_[0-9]+$")
"""What TensorFlow appends to a name that is taken: the second slot of ``Adam`` is ``Adam_1``."""


def scope_variables(entries: Mapping[str, Entry]) -> frozenset[str]:
    """Return the names of the model's variables in a name-based checkpoint.

    Takes time linear in the number of names.
    """
    stored = plain_names(entries)
    if all(new == old for new, old in stored.items()):
        return _variables(entries)
    return frozenset(stored[name] for name in _variables({new: entries[old] for new, old in stored.items()}))


class _Found:
    """What a first look at each name finds."""

    def __init__(self) -> None:
        self.left_out: set[str] = set()
        self.variables: dict[str, str] = {}
        """The variable of each path that has slots with known names."""
        self.own_slots: set[tuple[str, str]] = set()
        """Scope of an optimizer and name of a slot, for slots of other names."""
        self.counted: set[str] = set()
        """Scopes that have a counter and hyperparameters."""
        self.averages: list[str] = []
        """Averages of what is not a variable."""
        self.kinds: set[str] = set()
        """Names of slots that were left out, without their numbers."""
        self.counters: list[str] = []
        """Names that may be counters of optimizers outside all scopes."""

    def leave_out(self, name: str, kind: str) -> None:
        self.left_out.add(name)
        self.kinds.add(kind)


def _variables(entries: Mapping[str, Entry]) -> frozenset[str]:
    """Return the model's variables by names without output numbers."""
    names = dict.fromkeys(entries)
    found = _first_look(names, entries)
    left_out = found.left_out
    # These rules need to know all slots first. Most checkpoints have none of what they look for.
    has_averages = not found.kinds.isdisjoint(AVERAGES)
    left_out.update(
        name for name in found.averages if _is_average_of_loss(name, names, entries, has_averages)
    )
    if found.own_slots:
        kinds = {_NUMBERED.sub("", slot) for _, slot in found.own_slots}
        left_out.update(
            name
            for name in names
            if _is_slot_outside_scopes(name, found.own_slots, entries)
            or _is_slot_of_known_optimizer(name, kinds, names)
        )
    if found.counters:
        left_out.update(_settings_outside_scopes(found, entries))
    if found.counted:
        flat = {variable.replace("/", "_") for variable in names}
        left_out.update(name for name in names if _is_keras_3_slot(name, found.counted, flat))
    if AGGREGATOR in found.kinds:
        left_out.update(name for name in names if name.rpartition("/")[2] == AGGREGATED)
    scopes = _hyperparameter_scopes(found.variables, found.counted)
    if scopes:
        left_out.update(name for name in names.keys() - left_out if _is_in_optimizer(name, scopes, entries))
    return frozenset(name for name in names if name not in left_out)


def _first_look(names: Collection[str], entries: Mapping[str, Entry]) -> _Found:
    """Apply the rules that look at one name and what it belongs to."""
    found = _Found()
    for name in names:
        path, _, last = name.rpartition("/")
        kind = _NUMBERED.sub("", last)
        if _is_bookkeeping(kind) or _is_in_company(path, last, names) or _is_below_optimizer(path, names):
            found.left_out.add(name)
        elif kind in SLOTS or kind.startswith(SLOT_PREFIXES):
            variable = slot_variable(path, names)
            # A word may also be the name of a model's own variable below another one.
            if variable is not None and (not kind.islower() or _fits(name, path, variable, entries)):
                found.leave_out(name, kind)
                found.variables[path] = variable
            elif kind in AVERAGES:
                found.averages.append(name)
        elif last in DEBIAS_SLOTS:
            if _is_debias_slot(path, names):
                found.left_out.add(name)
        elif _is_appended(path, last, names, entries) or _is_copy(name, names):
            found.left_out.add(name)
        elif (scope := _is_keras_slot(name, names, entries)) is not None:
            found.left_out.add(name)
            found.counted.add(scope)
        elif path:
            variable = alike_variable(name, path, names, entries)
            if variable is not None:
                found.leave_out(name, kind)
                found.own_slots.add((path.removesuffix(variable), last))
            elif kind in AVERAGES:
                found.averages.append(name)
            elif kind in COUNTERS and any(f"{path}/{each}" in names for each in HYPERPARAMETERS):
                found.counted.add(path)
        elif kind in COUNTERS:
            found.counters.append(name)
    return found


def _fits(name: str, path: str, variable: str, entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor whose slot is a common word has a shape that such a slot of the variable has.

    Some have fewer axes; but a variable outside all scopes says too little about what has its name in one.
    """
    shape = entries[name].shape
    if shape in (entries[variable].shape, ()):
        return True
    is_certain = path == variable or "/" in variable
    return is_certain and name.endswith(FACTORED) and may_be_slot(name, variable, entries)


def _is_bookkeeping(kind: str) -> bool:
    """Whether the last part of a name, without its number, is that of a counter or a power.

    Source: ``python/training/training_util.py`` makes ``global_step``, ``adam.py: _create_slots`` the powers.
    """
    return kind in BOOKKEEPING


def _is_in_company(path: str, last: str, names: Collection[str]) -> bool:
    """Whether a name belongs to training because of the names beside it.

    In lingvo each of the names is a scope of its own, with a variable ``var`` in it.
    """
    end = ""
    if last == "var" and path:
        path, _, last = path.rpartition("/")
        end = "/var"
    companies = COMPANIES_OF.get(last)
    if companies is None:
        is_training = TRAINING_SCOPE in path and TRAINING_SCOPE in path.split("/")
        return is_training or f"{path}/".startswith(STATISTICS_SCOPES)
    scope = f"{path}/" if path else ""
    return any(all(f"{scope}{each}{end}" in names for each in one.telling) for one in companies)


def _is_appended(path: str, last: str, names: Collection[str], entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor is a slot or a copy whose name is that of a variable, with something appended."""
    if not last.endswith(APPENDED):
        return False
    scope = f"{path}/" if path else ""
    name = scope + last
    if match := APPENDED_SLOT.fullmatch(last):
        variable = scope + match[1]
        # The optimizer may repeat the whole name in a scope of its own.
        return variable in names or below_scopes(variable, names) is not None
    if name.endswith(UNSHRINKED):
        return True
    if last.endswith(APPENDED_COPY):
        variable = name.removesuffix(APPENDED_COPY)
        return variable in names and is_master(name, variable, entries)
    if name.endswith(NESTED_SLOT):
        variable = name.removesuffix(NESTED_SLOT)
        return variable in names or below_scopes(variable, names) is not None
    return False


def _is_below_optimizer(path: str, names: Collection[str]) -> bool:
    """Whether a path is that of an optimizer below a variable, where embeddings on TPUs have their slots."""
    variable, _, optimizer = path.rpartition("/")
    return _NUMBERED.sub("", optimizer) in OPTIMIZERS and slot_variable(variable, names) is not None


def _is_keras_slot(name: str, names: Collection[str], entries: Mapping[str, Entry]) -> str | None:
    """The scope of the optimizer that a slot named ``OPTIMIZER/SLOT/VARIABLE`` belongs to; None if it is not.

    An optimizer with a name of its own, or outside all scopes, has a counter.
    """
    for match in islice(KERAS_SLOT.finditer(name), MAX_SCOPES):
        scope, variable = name[: match.start()], name[match.end() :]
        if variable in names and may_be_slot(name, variable, entries):
            counter = f"{scope}/{KERAS_COUNTER}" if scope else KERAS_COUNTER
            if counter in names or _NUMBERED.sub("", scope.rpartition("/")[2]) in KERAS_OPTIMIZERS:
                return scope
    return None


def _is_keras_3_slot(name: str, counted: Set[str], flat: Set[str]) -> bool:
    """Whether a tensor in the scope of an optimizer has the name of a variable in it, and of a slot.

    Keras 3 writes the variable's scopes with underscores: ``adam/sequential_dense_kernel_momentum``.
    """
    scope, _, variable = name.rpartition("/")
    if scope not in counted:
        return False
    for _ in range(MAX_WORDS):
        variable = variable.rpartition("_")[0]
        if variable in flat:
            return True
    return False


def _settings_outside_scopes(found: _Found, entries: Mapping[str, Entry]) -> list[str]:
    """The counters and hyperparameters that an optimizer has made outside all scopes.

    A model may have scalars of these names too. It takes the whole number of a counter, and beside it slots
    or a hyperparameter, to show an optimizer.
    """
    counters = [name for name in found.counters if _is_count(entries[name])]
    settings = [each for each in HYPERPARAMETERS if each in entries and not entries[each].shape]
    return counters + settings if counters and (settings or found.left_out) else []


def _is_count(entry: Entry) -> bool:
    return not entry.shape and entry.dtype.is_integer


def _is_copy(name: str, names: Collection[str]) -> bool:
    """Whether a tensor is the copy of a variable in a scope of copies, which may be in other scopes."""
    for scope in COPY_SCOPES:
        _, found, variable = f"/{name}".partition(f"/{scope}/")
        if found and variable in names:
            return True
    return False


def _is_slot_outside_scopes(name: str, own_slots: Set[tuple[str, str]], entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor is a slot of a variable outside all scopes, as slots of variables in scopes show.

    Once ``train/layer/w/my_slot`` shows that the scope ``train`` holds slots of that name,
    ``train/b/my_slot`` belongs to ``b`` if the shapes agree.
    """
    path, _, last = name.rpartition("/")
    scope, slash, variable = path.rpartition("/")
    return (scope + slash, last) in own_slots and variable in entries and is_alike(name, variable, entries)


def _is_slot_of_known_optimizer(name: str, kinds: Set[str], names: Collection[str]) -> bool:
    """Whether a tensor of any shape is a slot of an optimizer that another slot has shown.

    In TensorFlow 1 all slots of an optimizer have its name, and numbers: if ``w/MyOpt`` has the shape of
    ``w``, then ``w/MyOpt_1`` is a slot too. Optimizers are named in capitals; other names say too little.
    """
    path, _, last = name.rpartition("/")
    kind = _NUMBERED.sub("", last)
    return kind in kinds and kind[:1].isupper() and (path in names or below_scopes(path, names) is not None)


def _is_debias_slot(average: str, names: Collection[str]) -> bool:
    """Whether both slots of a moving average that is corrected for its bias exist below a path of a variable.

    Either alone may be a variable of the model with that name. Source: ``python/training/moving_averages.py:
    _zero_debias`` makes both in a scope named after the average, which may itself be in a scope.
    """
    has_both = all(f"{average}/{slot}" in names for slot in DEBIAS_SLOTS)
    # An average of a loss or a gradient has no variable.
    is_average = average in names and average.rpartition("/")[2] in AVERAGES
    return has_both and (is_average or slot_variable(average, names) is not None)


def _is_average_of_loss(
    name: str, names: Collection[str], entries: Mapping[str, Entry], has_averages: bool
) -> bool:
    """Whether an average without a variable is that of a loss or a gradient, which only training needs.

    A checkpoint may also hold averages instead of variables, as an export for inference does. It has no
    variables beside their averages, and no slots of averages.
    """
    return all(f"{name}/{slot}" in names for slot in DEBIAS_SLOTS) or (
        has_averages and not entries[name].shape
    )


def _hyperparameter_scopes(variables: Mapping[str, str], counted: Set[str]) -> set[str]:
    """The scopes that belong to optimizers, whose scalars are learning rates and the like.

    A counter beside hyperparameters shows such a scope, and slots do: it comes before the variable's name, as
    ``training/Adagrad`` does in ``training/Adagrad/dense/kernel/accumulator``. A scope of variables that have
    slots is the model's: its scalars are variables. Keras names its hyperparameters like this
    (``keras/optimizers.py``, ``K.name_scope``).
    """
    # A path longer than the variable's name has the scope before it. The path of a partitioned variable that
    # was cut does not end in the variable, and shows no scope.
    scopes = {
        path[: -len(variable) - 1] for path, variable in variables.items() if path.endswith(f"/{variable}")
    }
    scopes |= counted
    if scopes:
        trained = set(variables.values())
        scopes.difference_update(scope for variable in trained for scope in beginnings(variable))
    return scopes


def _is_in_optimizer(name: str, scopes: Set[str], entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor is a scalar in the scope of an optimizer, or one of its slots.

    There, ``Adam/w/own_slot`` belongs even to a variable ``w`` outside all scopes. Early versions of Keras
    keep ``Adam/iterations`` in one scope, and slots without names in another: ``training/Adam/Variable_1``.
    """
    scope, _, last = name.rpartition("/")
    if scope in scopes:
        return not entries[name].shape
    for outer in beginnings(scope):
        variable = scope[len(outer) + 1 :]
        if outer in scopes and variable in entries and is_alike(name, variable, entries):
            return True
    return scope.removeprefix("training/") in scopes and _NUMBERED.sub("", last) == UNNAMED
