"""Graphs of TensorFlow 1 with the variables of Google's BERT, ALBERT and ELECTRA, in tiny sizes.

They are written after the papers. Names and shapes of the variables are those of the checkpoints that
google-research/bert, google-research/albert and google-research/electra write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY, POSITIONS, TYPES, EMBEDDING, WIDTH, INNER, HEADS, LAYERS = 30, 12, 2, 6, 8, 20, 2, 3

IDS = np.array([[2, 7, 1, 29, 4], [3, 3, 8, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
SEGMENTS = np.array([[0, 0, 0, 1, 1], [0, 1, 1, 0, 0]])
"""What all models are run on."""

Outputs = Mapping[str, Any]


def run(build: Callable[[Graph], Outputs], path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Build a model, save it as a checkpoint with slots of an optimizer; return that and what it computes."""
    import tensorflow as tf  # here, so that tests can skip without it

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        outputs = build(Graph(tf))
        for variable in v1.global_variables():
            for slot in ("adam_m", "adam_v"):
                v1.get_variable(f"{variable.op.name}/{slot}", variable.shape, trainable=False)
        v1.train.get_or_create_global_step()
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(path / "model.ckpt"), write_meta_graph=False)
        return Path(prefix), session.run(dict(outputs))


class Graph:
    """The parts that the models share."""

    def __init__(self, tf: Any) -> None:
        self._tf = tf
        self._v1 = tf.compat.v1
        self.scope = self._v1.variable_scope
        self.gelu: Callable[[Any], Any] = tf.nn.gelu

    def variable(self, name: str, *shape: int) -> Any:
        # As after a real initialization, but with no value left at 0 or 1: layers that add much of their own
        # to every token make all tokens look the same.
        mean, spread = (1.0, 0.3) if name == "gamma" else (0.0, 1.0 if len(shape) == 2 else 0.2)
        if name == "kernel":
            spread = 0.6 / shape[0] ** 0.5
        initializer = self._v1.random_normal_initializer(mean, spread)
        return self._v1.get_variable(name, shape, initializer=initializer, use_resource=False)

    def dense(self, x: Any, units: int, scope: str) -> Any:
        with self.scope(scope):
            return x @ self.variable("kernel", x.shape[-1], units) + self.variable("bias", units)

    def norm(self, x: Any, scope: str = "LayerNorm") -> Any:
        with self.scope(scope):
            beta, gamma = self.variable("beta", x.shape[-1]), self.variable("gamma", x.shape[-1])
        mean, variance = self._tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) / self._tf.sqrt(variance + 1e-12) * gamma + beta

    def embeddings(self, width: int, scope: str = "embeddings") -> tuple[Any, Any]:
        """Return the sum of all embeddings of the inputs, and the table of words."""
        with self.scope(scope, reuse=self._v1.AUTO_REUSE):
            words = self.variable("word_embeddings", VOCABULARY, width)
            segments = self.variable("token_type_embeddings", TYPES, width)
            positions = self.variable("position_embeddings", POSITIONS, width)
            total = self._tf.gather(words, IDS) + self._tf.gather(segments, SEGMENTS)
            return self.norm(total + positions[: IDS.shape[1]]), words

    def attention(self, x: Any, heads: int = HEADS) -> Any:
        """Return what each token gathers from those that the mask shows; the scope is open already."""
        width = x.shape[-1]
        split = (*IDS.shape, heads, width // heads)
        query, key, value = (
            self._tf.transpose(self._tf.reshape(self.dense(x, width, name), split), [0, 2, 1, 3])
            for name in ("query", "key", "value")
        )
        scores = self._tf.matmul(query, key, transpose_b=True) / np.sqrt(width // heads)
        hidden = (1.0 - MASK[:, None, None, :]) * -10000.0
        gathered = self._tf.nn.softmax(scores + hidden.astype(np.float32)) @ value
        return self._tf.reshape(self._tf.transpose(gathered, [0, 2, 1, 3]), (*IDS.shape, width))

    def encoder(self, x: Any, inner: int = INNER, heads: int = HEADS, layers: int = LAYERS) -> Any:
        """Return the output of BERT's layers, in the scope ``encoder``."""
        width = x.shape[-1]
        for number in range(layers):
            with self.scope(f"encoder/layer_{number}"):
                with self.scope("attention/self"):
                    gathered = self.attention(x, heads)
                with self.scope("attention/output"):
                    x = self.norm(x + self.dense(gathered, width, "dense"))
                hidden = self.gelu(self.dense(x, inner, "intermediate/dense"))
                with self.scope("output"):
                    x = self.norm(x + self.dense(hidden, width, "dense"))
        return x

    def words(self, x: Any, table: Any, bias: str = "output_bias") -> Any:
        return self._tf.matmul(x, table, transpose_b=True) + self.variable(bias, VOCABULARY)

    def pooled(self, x: Any) -> Any:
        return self._tf.tanh(self.dense(x[:, 0], WIDTH, "pooler/dense"))

    def output(self, x: Any, units: int) -> Any:
        """Return the output of a head whose weights are stored transposed, as BERT's are."""
        weights = self.variable("output_weights", units, x.shape[-1])
        return self._tf.matmul(x, weights, transpose_b=True) + self.variable("output_bias", units)

    def squad(self, x: Any) -> Any:
        with self.scope("cls/squad"):
            weights, bias = self.variable("output_weights", 2, WIDTH), self.variable("output_bias", 2)
        return self._tf.einsum("btd,kd->kbt", x, weights) + self._tf.reshape(bias, [2, 1, 1])

    def predictions(self, x: Any, table: Any) -> Any:
        """Return the logits of words in the scope ``cls/predictions``."""
        with self.scope("cls/predictions"):
            with self.scope("transform"):
                x = self.norm(self.gelu(self.dense(x, table.shape[-1], "dense")))
            return self.words(x, table)


def _bert(graph: Graph) -> tuple[Any, Any, Any]:
    with graph.scope("bert"):
        embedded, table = graph.embeddings(WIDTH)
        x = graph.encoder(embedded)
        return x, graph.pooled(x), table


def bert_pretraining(graph: Graph) -> Outputs:
    """Build BERT with the heads for masked words and for the next sentence."""
    x, pooled, table = _bert(graph)
    words = graph.predictions(x, table)
    with graph.scope("cls/seq_relationship"):
        following = graph.output(pooled, 2)
    return {"sequence": x, "words": words, "sentence": following}


def bert_squad(graph: Graph) -> Outputs:
    """Build BERT with the head for questions."""
    ends = graph.squad(_bert(graph)[0])
    return {"start": ends[0], "end": ends[1]}


def bert_classifier(graph: Graph) -> Outputs:
    """Build BERT with the head that classifies into three classes."""
    return {"classes": graph.output(_bert(graph)[1], 3)}


GROUPS, INNER_GROUPS = 2, 2
"""Of the layers of ALBERT; the first group is used by two layers of three."""


def albert(graph: Graph, prefix: str = "") -> Outputs:
    """Build ALBERT with the heads for masked words and for the order of sentences."""
    # The exact gelu is not used: ALBERT's is the one with tanh.
    graph.gelu = lambda x: graph._tf.nn.gelu(x, approximate=True)
    v1 = graph._v1
    with graph.scope(prefix + "bert"):
        embedded, table = graph.embeddings(EMBEDDING)
        with graph.scope("encoder"):
            x = graph.dense(embedded, WIDTH, "embedding_hidden_mapping_in")
        for number in range(LAYERS):
            group = number * GROUPS // LAYERS
            for inner in range(INNER_GROUPS):
                path = f"encoder/transformer/group_{group}/inner_group_{inner}"
                with graph.scope(path, reuse=v1.AUTO_REUSE):
                    x = _albert_layer(graph, x)
        pooled = graph.pooled(x)
    with graph.scope(prefix[:-1]) if prefix else graph.scope(v1.get_variable_scope()):
        words = graph.predictions(x, table)
        with graph.scope("cls/seq_relationship"):
            order = graph.output(pooled, 2)
    return {"sequence": x, "words": words, "sentence": order}


def albert_of_hub(graph: Graph) -> Outputs:
    """Build ALBERT with the names that it has when it comes as a module of TensorFlow Hub."""
    return albert(graph, "module/")


def _albert_layer(graph: Graph, x: Any) -> Any:
    with graph.scope("attention_1/self"):
        gathered = graph.attention(x)
    x = graph.norm(x + graph.dense(gathered, WIDTH, "attention_1/output/dense"))
    with graph.scope("ffn_1/intermediate"):
        hidden = graph.gelu(graph.dense(x, INNER, "dense"))
        return_ = graph.dense(hidden, WIDTH, "output/dense")
    return graph.norm(x + return_, "LayerNorm_1")


GENERATOR_WIDTH, GENERATOR_INNER = 4, 16


def electra(graph: Graph) -> Outputs:
    """Build both halves of ELECTRA, which share the embeddings."""
    tf = graph._tf
    embedded, table = graph.embeddings(EMBEDDING, "electra/embeddings")
    with graph.scope("generator"):
        generated = graph.encoder(
            graph.dense(embedded, GENERATOR_WIDTH, "embeddings_project"), GENERATOR_INNER, heads=1
        )
    with graph.scope("generator_predictions"):
        words = graph.words(graph.norm(graph.gelu(graph.dense(generated, EMBEDDING, "dense"))), table)
    with graph.scope("electra"):
        x = graph.encoder(graph.dense(embedded, WIDTH, "embeddings_project"))
    with graph.scope("discriminator_predictions"):
        hidden = graph.gelu(graph.dense(x, WIDTH, "dense"))
        replaced = tf.squeeze(graph.dense(hidden, 1, "dense_1"), -1)
    return {"sequence": x, "words": words, "generated": generated, "replaced": replaced}
