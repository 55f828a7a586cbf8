"""Functions of the objects of a model, and views of it as one of its meta graphs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.errors import CorruptError, GraphError, NameNotFoundError
from ckptfmt.proto import messages
from ckptfmt.saved_model.functions import MAX_PATH, ConcreteFunction, ConcreteFunctions, object_functions
from ckptfmt.saved_model.structured import MAX_DEPTH
from tests.support.golden import GOLDEN

MODEL = GOLDEN / "saved_model" / "model"


def test_concrete_functions_are_decoded_when_they_are_asked_for() -> None:
    with ckptfmt.open_saved_model(MODEL) as model:
        functions = model.functions
        assert list(functions) == sorted(functions)
        assert len(functions) == 2
        call, wrapper = model.object_functions
        trace = functions[call.traces[0]]
        assert trace.name in functions
        assert [spec.name for spec in trace.positional] == ["x"]
        assert call.named(trace) == [("x", trace.positional[0])]
        assert list(functions[wrapper.traces[0]].keywords) == ["x"]
        assert len(trace.captures) == 2
        assert 3 not in functions
        with pytest.raises(NameNotFoundError, match="no concrete function named 'g'"):
            functions["g"]


@pytest.mark.parametrize(
    ("arguments", "positional", "keywords"),
    [
        (((1, 2), {"a": 3}), (1, 2), {"a": 3}),
        (([1], {}), (1,), {}),
        (None, (), {}),
        ((1, 2), ((1, 2),), {}),
        (7, (7,), {}),
    ],
    ids=str,
)
def test_arguments_are_positional_and_by_keyword(
    arguments: object, positional: object, keywords: object
) -> None:
    trace = ConcreteFunction("f", arguments, None, ())
    assert (trace.positional, trace.keywords) == (positional, keywords)


def test_names_of_tensors_are_not_given_to_nested_arguments() -> None:
    graph = messages.SavedObjectGraph()
    graph.nodes.add().children.add(node_id=1, local_name="f")
    bare = graph.nodes.add().bare_concrete_function
    bare.concrete_function_name = "t"
    bare.argument_keywords.extend(["a", "b"])
    (function,) = object_functions(graph, "model")
    assert function.parameters == ("a", "b")
    assert function.named(ConcreteFunction("t", ((1, 2), {}), None, ())) == [("a", 1), ("b", 2)]
    assert function.named(ConcreteFunction("t", (((1, 2),), {}), None, ())) == [(None, (1, 2))]


def test_paths_that_are_too_long_are_none() -> None:
    graph = messages.SavedObjectGraph()
    graph.nodes.add().children.add(node_id=1, local_name="a" * MAX_PATH)
    graph.nodes.add().children.add(node_id=2, local_name="f")
    graph.nodes.add().function.SetInParent()
    assert [function.path for function in object_functions(graph, "model")] == [None]
    assert object_functions(messages.SavedObjectGraph(), "model") == ()


def test_errors_of_damaged_arguments_name_the_function_and_the_file() -> None:
    graph = messages.SavedObjectGraph()
    graph.nodes.add().children.add(node_id=1, local_name="f")
    value = graph.nodes.add().function.function_spec.fullargspec
    for _ in range(MAX_DEPTH + 1):
        value = value.list_value.values.add()
    graph.concrete_functions["t"].canonicalized_input_signature.CopyFrom(
        graph.nodes[1].function.function_spec.fullargspec
    )
    (function,) = object_functions(graph, "model.pb")
    with pytest.raises(
        CorruptError, match=r"model\.pb: function 'f': values nested more than 100 deep"
    ) as caught:
        function.parameters  # noqa: B018
    assert caught.value.file == "model.pb"
    with pytest.raises(CorruptError, match=r"model\.pb: concrete function 't': values nested"):
        ConcreteFunctions(graph.concrete_functions, "model.pb")["t"]


def test_a_model_is_narrowed_to_one_of_its_meta_graphs(tmp_path: Path) -> None:
    saved = messages.SavedModel.FromString((MODEL / "saved_model.pb").read_bytes())
    saved.meta_graphs.add().CopyFrom(saved.meta_graphs[0])
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    shutil.copytree(MODEL / "variables", tmp_path / "variables")
    with ckptfmt.open_saved_model(tmp_path) as model:
        with pytest.raises(GraphError):
            model.signatures  # noqa: B018
        for meta in model.meta_graphs:
            one = model.narrowed(meta)
            assert one.meta_graph is meta
            assert one.checkpoint is model.checkpoint
            assert one.variables["w"].shape == (2, 3)
            assert list(one.signatures) == ["serving_default"]


def test_signatures_are_a_mapping() -> None:
    with ckptfmt.open_saved_model(MODEL) as model:
        signatures = model.signatures
        assert len(signatures) == 1
        assert "__saved_model_init_op" in model.meta_graph.message.signature_def
        assert "__saved_model_init_op" not in signatures
        assert signatures == dict(signatures)
        with pytest.raises(NameNotFoundError, match="no signature named 'x'; did you mean 'serving_default'"):
            signatures["x"]
