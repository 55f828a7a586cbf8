"""Models to test shipped plans with: how TensorFlow builds them, and what the other side is for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.support import google_t5, google_transformers, openai_gpt2, slim_inceptions, slim_networks
from tests.support.google_transformers import EMBEDDING, GENERATOR_INNER, GENERATOR_WIDTH, INNER, WIDTH
from tests.support.torch_networks import NETWORKS

Build = Callable[[Path], "tuple[Path, dict[str, np.ndarray]]"]


class Model(NamedTuple):
    """A model, the plan for it, and the class that takes the result."""

    plan: str
    build: Build
    """Writes a checkpoint into a folder; returns its prefix, and what the model computes there."""
    kind: str
    """A class of the library transformers, or a key of ``NETWORKS``."""
    config: Mapping[str, object]
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, str]
    """Names of outputs of the class by those of the build."""
    beside: tuple[str, ...] = ()
    """What the plan makes, and this class has no place for."""


_TOKENS = {
    "input_ids": google_transformers.IDS,
    "attention_mask": google_transformers.MASK,
    "token_type_ids": google_transformers.SEGMENTS,
}
_POOLER = ("bert.pooler.dense.bias", "bert.pooler.dense.weight")
_HIDDEN = "last_hidden_state"


def _config(model_type: str, **others: object) -> dict[str, object]:
    return {
        "model_type": model_type,
        "vocab_size": google_transformers.VOCABULARY,
        "max_position_embeddings": google_transformers.POSITIONS,
        "type_vocab_size": google_transformers.TYPES,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_attention_heads": google_transformers.HEADS,
        "num_hidden_layers": google_transformers.LAYERS,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        **others,
    }


def _google(build: Callable[[Any], google_transformers.Outputs]) -> Build:
    return partial(google_transformers.run, build)


def _t5(names: google_t5.Names, *, is_gated: bool) -> Model:
    config = {
        "model_type": "t5",
        "vocab_size": google_t5.VOCABULARY,
        "d_model": google_t5.WIDTH,
        "d_kv": google_t5.KEYS,
        "d_ff": google_t5.INNER,
        "num_layers": google_t5.BLOCKS,
        "num_heads": google_t5.HEADS,
        "relative_attention_num_buckets": google_t5.BUCKETS,
        "relative_attention_max_distance": google_t5.DISTANCE,
        "feed_forward_proj": "gated-gelu" if is_gated else "relu",
        "tie_word_embeddings": not is_gated,
    }
    inputs = {"input_ids": google_t5.INPUTS, "decoder_input_ids": google_t5.TARGETS}
    outputs = {"sequence": "encoder_last_hidden_state", "words": "logits"}
    build = partial(google_t5.run, names, is_gated)
    return Model("t5-mesh-hf", build, "T5ForConditionalGeneration", config, inputs, outputs)


def _slim(
    plan: str, build: Callable[[Any], Any], kind: str, size: int, slot: str = "", **config: object
) -> Model:
    pixels = np.ascontiguousarray(slim_networks.image(size).transpose(0, 3, 1, 2))
    name = "x" if kind in NETWORKS else "pixel_values"
    write = partial(slim_networks.run, build, size, slot=slot)
    settings = {"num_labels": slim_networks.CLASSES, "depth_multiplier": slim_networks.MULTIPLIER, **config}
    return Model(plan, write, kind, settings, {name: pixels}, {"classes": "logits"})


_PRETRAINING = {"sequence": _HIDDEN, "words": "prediction_logits", "sentence": "seq_relationship_logits"}
_ALBERT = _config(
    "albert",
    embedding_size=EMBEDDING,
    hidden_act="gelu_new",
    num_hidden_groups=google_transformers.GROUPS,
    inner_group_num=google_transformers.INNER_GROUPS,
)
_ALBERT_OUTPUTS = {"sequence": _HIDDEN, "words": "prediction_logits", "sentence": "sop_logits"}

MODELS = {
    "bert": Model(
        "bert-hf",
        _google(google_transformers.bert_pretraining),
        "BertForPreTraining",
        _config("bert"),
        _TOKENS,
        _PRETRAINING,
    ),
    "bert_squad": Model(
        "bert-hf",
        _google(google_transformers.bert_squad),
        "BertForQuestionAnswering",
        _config("bert"),
        _TOKENS,
        {"start": "start_logits", "end": "end_logits"},
        _POOLER,
    ),
    "bert_classifier": Model(
        "bert-hf",
        _google(google_transformers.bert_classifier),
        "BertForSequenceClassification",
        _config("bert", num_labels=3),
        _TOKENS,
        {"classes": "logits"},
    ),
    "albert": Model(
        "albert-hf",
        _google(google_transformers.albert),
        "AlbertForPreTraining",
        _ALBERT,
        _TOKENS,
        _ALBERT_OUTPUTS,
    ),
    "albert_of_hub": Model(
        "albert-hf",
        _google(google_transformers.albert_of_hub),
        "AlbertForPreTraining",
        _ALBERT,
        _TOKENS,
        _ALBERT_OUTPUTS,
    ),
    "electra": Model(
        "electra-hf",
        _google(google_transformers.electra),
        "ElectraForPreTraining",
        _config("electra", embedding_size=EMBEDDING),
        _TOKENS,
        {"sequence": _HIDDEN, "replaced": "logits"},
    ),
    "electra_generator": Model(
        "electra-generator-hf",
        _google(google_transformers.electra),
        "ElectraForMaskedLM",
        _config(
            "electra",
            embedding_size=EMBEDDING,
            hidden_size=GENERATOR_WIDTH,
            intermediate_size=GENERATOR_INNER,
            num_attention_heads=1,
        ),
        _TOKENS,
        {"generated": _HIDDEN, "words": "logits"},
    ),
    "t5": _t5(google_t5.FIRST, is_gated=False),
    "t5_gated": _t5(google_t5.GATED, is_gated=True),
    "t5_named": _t5(google_t5.NAMED, is_gated=True),
    "gpt2": Model(
        "gpt2-hf",
        openai_gpt2.run,
        "GPT2LMHeadModel",
        {
            "model_type": "gpt2",
            "vocab_size": openai_gpt2.VOCABULARY,
            "n_positions": openai_gpt2.POSITIONS,
            "n_embd": openai_gpt2.WIDTH,
            "n_head": openai_gpt2.HEADS,
            "n_layer": openai_gpt2.LAYERS,
        },
        {"input_ids": openai_gpt2.IDS},
        {"sequence": _HIDDEN, "words": "logits"},
    ),
    # At these sizes, SAME pads as torchvision does.
    "slim_resnet": _slim("slim-torchvision", slim_networks.resnet, "torchvision resnet", 65, "Momentum"),
    "slim_mobilenet": _slim("slim-torchvision", slim_networks.mobilenet_v2, "torchvision mobilenet_v2", 65),
    "slim_inception_v1": _slim("slim-torchvision", slim_inceptions.inception_v1, "torchvision googlenet", 63),
    "slim_inception_v3": _slim(
        "slim-torchvision", slim_inceptions.inception_v3, "torchvision inception_v3", 107
    ),
    "slim_inception_v4": _slim("slim-timm", slim_inceptions.inception_v4, "timm inception_v4", 107),
    "slim_inception_resnet": _slim(
        "slim-timm", slim_inceptions.inception_resnet_v2, "timm inception_resnet_v2", 107
    ),
    # These pad as TensorFlow does at any size.
    "slim_mobilenet_v1_hf": _slim(
        "slim-hf",
        slim_networks.mobilenet_v1,
        "MobileNetV1ForImageClassification",
        48,
        "RMSProp",
        model_type="mobilenet_v1",
    ),
    "slim_mobilenet_v2_hf": _slim(
        "slim-hf",
        slim_networks.mobilenet_v2,
        "MobileNetV2ForImageClassification",
        48,
        "RMSProp_1",
        model_type="mobilenet_v2",
    ),
}
