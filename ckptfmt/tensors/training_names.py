"""Training names: what optimizers and trainers call the variables that they add to a model.

The names are those in the sources of TensorFlow 1 and its ``contrib``, Keras, TensorFlow Addons, TensorFlow's
models, tensor2tensor, Mesh TensorFlow, lingvo, BERT and its descendants, and research code. A slot that has
the shape of its variable is recognised whatever its name, so :data:`SLOTS` needs those of other shapes, and
those that are stored without a variable of their shape beside them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

AVERAGE = "ExponentialMovingAverage"
"""Appended to the name of a variable by ``tf.train.ExponentialMovingAverage``, unless that has a name."""

AVERAGES = frozenset({AVERAGE, "avg"})
"""Names of averages that trainers also keep of losses; the tutorials of TensorFlow call these ``avg``."""

DEBIAS_SLOTS = ("biased", "local_step")
"""Below a moving average with ``zero_debias``: the biased average, and the number of its updates."""

BOOKKEEPING = frozenset(
    (
        *("global_step", "save_counter", "beta1_power", "beta2_power", "sync_rep_local_step", "eval_step"),
        "stale_counter",  # contrib/opt/python/training/drop_stale_gradient_optimizer.py
    )
)
"""Last parts of names of counters, and of the powers that Adam keeps."""

AGGREGATOR, AGGREGATED = "GradientAccumulator", "update_count"
"""A slot of lingvo's ``core/optimizer.py: GradientAggregationOptimizer``, and its counter in any scope."""

SLOTS = frozenset(
    (
        # TensorFlow 1: ``python/training/*.py``, each named after its optimizer.
        *("Adadelta", "Adagrad", "AdagradDA", "Adam", "AdamW", "Ftrl", "Momentum", "ProximalAdagrad"),
        *("RMSProp", "SGD"),
        # TensorFlow 1, ``contrib/opt/python/training/*.py``.
        *(
            "AdaMax",
            "AddSignOptimizer",
            "LARSOptimizer",
            "LazyAdam",
            "MomentumW",
            "Nadam",
            "PowerSignOptimizer",
        ),
        *("AdagradReg", "Shampoo"),
        # tensor2tensor ``utils/adafactor.py``, PEGASUS and lingvo; ``utils/yellowfin.py``.
        *("Adafactor", "YellowFin"),
        # lingvo ``core/egdd.py``, ``adagraft.py``, ``optimizer.py``; google-research ``sm3/sm3.py``.
        *("AdaGraft", "EGDD", AGGREGATOR, "SM3"),
        # BERT ``optimization.py``, ALBERT ``lamb_optimizer.py``, XLNet, MLPerf.
        *("adam_m", "adam_v", "AdamWeightDecayOptimizer", "LAMB", "LAMBOptimizer", "lamb_m", "lamb_v"),
        # Grover ``lm/optimization_adafactor.py``, and GPT-2 in languages trained with it.
        *("adafactor_m", "adafactor_v", "adafactor_vr", "adafactor_vc"),
        # TensorFlow 1's Adagrad and Ftrl, if they are given a name for each slot.
        *("gradient_accumulator", "gradient_squared_accumulator", "accumulator", "accum", "linear"),
        # Keras ``optimizer_v2/*.py``, named after what they hold.
        *("m", "v", "vhat", "momentum", "rms", "mg", "accum_grad", "accum_var", "vr", "vc"),
        # TensorFlow Addons ``optimizers/*.py``.
        *("average", "conditional_gradient", "ga", "grad_norm_sum", "gradients_sum", "slow", "tilde_w"),
        AVERAGE,
    )
)
"""Names of slots, as in ``dense/kernel/Adam``: the last part, without the number that TensorFlow appends."""

FACTORED = ("v", "vr", "vc")
"""Ends of names of slots that may have fewer axes than their variable: Adafactor, NovoGrad."""

SLOT_PREFIXES = ("DistributedShampoo_",)
"""Beginnings of names of slots: lingvo ``core/distributed_shampoo.py`` numbers the matrices of each axis."""

APPENDED_SLOT = re.compile(r"(.+)_(?:slot|adam)_(?:vr|vc|v|m)")
"""A variable and a slot in one part: ``kernel_slot_vr``, ``kernel_adam_vr``.

Source: Mesh TensorFlow ``optimize.py`` (T5), tensor2tensor ``utils/diet.py``.
"""

APPENDED_COPY = "_fp32"
"""Appended to a variable of float16 by the mixed precision of some trainers: its copy in float32."""

COPY_SCOPES = (
    *("global_center_variable", "local_center_variable", "grad_variable", "FP32-master-copy"),
    "BackupVariables",
)
"""Scopes that hold a copy of each variable, or its gradient, under its whole name.

Source: ``contrib/opt/python/training/elastic_average_optimizer.py`` and ``agn_optimizer.py``, OpenSeq2Seq
``mp_wrapper.py``. The last is the scope in which programs keep variables while averages stand in for them.
"""

OPTIMIZERS = frozenset(
    (
        *("Adadelta", "Adagrad", "AdagradMomentum", "Adam", "CenteredRMSProp", "FTRL", "FrequencyEstimator"),
        *("Ftrl", "Momentum", "OnlineYogi", "ProximalAdagrad", "ProximalYogi", "RMSProp", "SGD"),
    )
)
"""Scopes of slots below a variable, as in ``embedding/RMSProp/ms``.

Source: ``python/tpu/tpu_embedding.py``, ``slot_variable_names``.
"""

KERAS_OPTIMIZERS = frozenset(
    (
        *("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lion", "Nadam", "RMSprop"),
        "SGD",
    )
)
"""Scopes of slots before a variable, as in ``Adam/m/dense/kernel``.

Source: Keras 2.11 to 2.15, ``optimizers/*.py``, whose optimizers have these names by default.
"""

KERAS_SLOT = re.compile(
    r"(?:^|/)(?:m|v|u|r|c|velocity|velocity_hat|momentum|average_gradient|accumulator|accumulated_grad"
    r"|accumulated_delta_var|linear|average)/"
)
"""Scopes between such an optimizer and the variable."""

KERAS_COUNTER = "iteration"
"""The number of steps, as these optimizers and those of Keras 3 name it."""

NESTED_SLOT = "/grad_accumulator/var"
"""Appended to a variable by lingvo's ``core/optimizer.py: Accumulator``; its variables all end in ``var``."""

UNSHRINKED = "_unshrinked/SDCAOptimizer"
"""Appended to a variable, or a part of one, by ``contrib/linear_optimizer/python/ops/sdca_ops.py``."""

APPENDED = ("_vr", "_vc", "_v", "_m", APPENDED_COPY, "var", "SDCAOptimizer")
"""The ends of all these names."""

COUNTERS = frozenset({"iter", "iterations", KERAS_COUNTER})
"""Scalars that Keras' optimizers keep in their scope: the number of steps."""

HYPERPARAMETERS = (
    *("learning_rate", "current_learning_rate", "lr", "decay", "momentum", "beta_1", "beta_2", "rho"),
)
"""Scalars that Keras' optimizers keep beside the counter."""

UNNAMED = "Variable"
"""What TensorFlow calls a variable without a name; early versions of Keras do not name slots."""

STATISTICS_SCOPES = ("losses_avg/", "train_stats/", "signal_early_stopping/")
"""Scopes of what is counted while training.

tensor2tensor keeps averages of losses and counts of steps in the first two; ``tf.estimator`` keeps a flag in
the last one (``early_stopping.py``).
"""

TRAINING_SCOPE = "OptimizeLoss"
"""Scope of everything that ``contrib/layers/python/layers/optimizers.py: optimize_loss`` makes."""


class Company(NamedTuple):
    """Names that belong to training if a scope has certain others; alone, each may be a model's."""

    telling: frozenset[str]
    """Names that the scope must have, all of them."""
    names: frozenset[str]
    """Names that then belong to training."""


COMPANIES = (
    # tensor2tensor ``utils/multistep_optimizer.py``.
    Company(frozenset({"beta1_power"}), frozenset({"iter"})),
    # TensorFlow ``training/experimental/loss_scale.py``, Keras ``mixed_precision/loss_scale_optimizer.py``.
    Company(
        frozenset({"current_loss_scale"}), frozenset({"current_loss_scale", "good_steps", "num_good_steps"})
    ),
    # TensorFlow 1 ``contrib/mixed_precision/python/loss_scale_manager.py``.
    Company(frozenset({"loss_scale", "good_steps"}), frozenset({"loss_scale", "good_steps", "bad_steps"})),
    # TensorFlow 1 ``contrib/opt/python/training/ggt.py``.
    Company(frozenset({"flat_grad", "grad_buffer"}), frozenset({"flat_grad", "grad_buffer", "moment1"})),
    # tensor2tensor ``utils/yellowfin.py``.
    Company(
        frozenset({"YF_lr", "YF_step"}),
        frozenset({"YF_lr", "YF_mu", "YF_lr_factor", "YF_clip_thresh", "YF_step"}),
    ),
    Company(frozenset({"curv_win", "YF_step"}), frozenset({"curv_win"})),
    # NVIDIA's BERT, ``optimization.py``.
    Company(frozenset({"batch_finite", "local_step"}), frozenset({"batch_finite", "local_step"})),
    # lingvo ``core/optimizer.py: DynamicAccumulator``.
    Company(
        frozenset({"accum_weight", "param_update_step"}),
        frozenset({"accum_weight", "param_update_step", "accum_weight_at_update"}),
    ),
    # lingvo ``core/schedule.py: DevBasedSchedule``; ``core/layers.py: GradNormTracker``.
    Company(frozenset({"cur_factor", "ref_step"}), frozenset({"cur_factor", "ref_step"})),
    Company(
        frozenset({"log_mean", "log_mean_squared", "total_weight", "total_rejections"}),
        frozenset({"log_mean", "log_mean_squared", "total_weight", "total_rejections"}),
    ),
)

COMPANIES_OF = {
    name: [each for each in COMPANIES if name in each.names]
    for name in set().union(*(c.names for c in COMPANIES))
}
"""The companies that a name may be in."""
