"""Random GraphDefs and SavedModels, with what makes messages hard to divide: strategies for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from ckptfmt.proto.messages import FunctionDef, GraphDef, NodeDef, SavedModel
from tests.support.split_writer import constant

NAMES = st.sampled_from(["", "a", "ab", "name/of/a/node", "Größe", "x" * 40])


@st.composite
def nodes(draw: st.DrawFn) -> NodeDef:
    kind = draw(st.sampled_from(["content", "values", "texts", "plain", "nested"]))
    if kind == "content":
        return constant(draw(NAMES), draw(st.binary(max_size=300)))
    node = NodeDef(name=draw(NAMES), op=draw(NAMES), input=draw(st.lists(NAMES, max_size=5)))
    if kind == "values":
        node.attr["value"].tensor.float_val.extend(draw(st.lists(st.just(1.5), max_size=60)))
    elif kind == "texts":
        node.attr["value"].tensor.string_val.extend(draw(st.lists(st.binary(max_size=90), max_size=6)))
        node.attr["s"].s = draw(st.binary(max_size=90))
    elif kind == "nested":
        for key in draw(st.lists(NAMES, max_size=4)):
            node.attr[key].func.name = key
            node.attr[key].func.attr[key].list.func.add().attr["a"].s = draw(st.binary(max_size=90))
    return node


@st.composite
def functions(draw: st.DrawFn) -> FunctionDef:
    function = FunctionDef(node_def=draw(st.lists(nodes(), max_size=4)))
    function.signature.name = draw(NAMES)
    for name in draw(st.lists(NAMES, max_size=3)):
        function.ret[name] = name
        function.arg_attr[len(name)].attr[name].s = name.encode()
    return function


@st.composite
def graphs(draw: st.DrawFn) -> GraphDef:
    graph = GraphDef(node=draw(st.lists(nodes(), max_size=8)))
    if draw(st.booleans()):
        graph.library.function.extend(draw(st.lists(functions(), max_size=4)))
        graph.versions.producer = 1395
        graph.versions.bad_consumers.extend(draw(st.lists(st.integers(0, 2**31 - 1), max_size=50)))
    return graph


@st.composite
def saved_models(draw: st.DrawFn) -> SavedModel:
    model = SavedModel(saved_model_schema_version=1)
    for graph in draw(st.lists(graphs(), max_size=3)):
        meta_graph = model.meta_graphs.add(graph_def=graph)
        meta_graph.meta_info_def.tags.extend(draw(st.lists(NAMES, max_size=3)))
        for name in draw(st.lists(NAMES, max_size=4)):
            meta_graph.signature_def[name].inputs[name].name = name * 3
            meta_graph.collection_def[name].bytes_list.value.extend(draw(st.lists(st.binary(), max_size=4)))
            meta_graph.object_graph_def.concrete_functions[name].bound_inputs.append(5)
            meta_graph.object_graph_def.nodes.add().function.concrete_functions.append(name)
    return model


# 2**29 - 1 is a number that no field of TensorFlow has.
UNKNOWN_FIELDS = st.sampled_from(
    [
        b"",
        b"\xfa\xff\xff\xff\x0f\x03new",
        b"\xf8\xff\xff\xff\x0f\x96\x01",
        b"\xfd\xff\xff\xff\x0f1234\xf9\xff\xff\xff\x0f12345678",
    ]
)
"""Fields of every kind that the schema lacks, serialized."""
