"""Model variables of checkpoints of names, as widely used optimizers and trainers write them.

Each case has the names and shapes that the source in its comment gives to what it saves.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import ckptfmt
from tests.support.checkpoints import new_checkpoint
from tests.support.table_writer import write_bundle

Shapes = dict[str, list[int]]

Q = "encoder/block_000/layer_000/SelfAttention/q"
BODY = "transformer/body/encoder/layer_0/ffn/conv1/kernel"


class Case(NamedTuple):
    kept: Shapes
    left_out: Shapes


def slots(names: str, shape: list[int], kinds: str) -> Shapes:
    """Slots of one shape: each of the words ``kinds`` appended to each of ``names``."""
    return {name + kind: shape for name in names.split() for kind in kinds.split()}


CASES = {
    # tensorflow/mesh mesh_tensorflow/optimize.py; a real file is google-research/t5x t5x/testdata/mtf_tiny_t5
    "mesh adafactor": Case(
        {Q: [8, 6], "rms/scale": [8], "w": [3]},
        {f"{Q}_slot_vr": [8], f"{Q}_slot_vc": [6], f"{Q}_slot_m": [8, 6]}
        | {"rms/scale_slot_v": [8], "w_slot_v": [3], "global_step": []},
    ),
    "mesh stacked": Case({Q: [8, 6], f"stacked/{Q}": [2, 8, 6]}, {f"stacked/{Q}_slot_v": [2, 8, 6]}),
    "names of slots that have no variable": Case(
        {f"{Q}_slot_v": [8], "a/time_slot_m": [2], "x_fp32": [1]}, {}
    ),
    # tensorflow/tensor2tensor utils/adafactor.py; utils/optimize.py makes slots in the scope "training"
    "adafactor": Case(
        {BODY: [8, 6], "body/b": [8], "w": [4, 2]},
        {f"{BODY}/Adafactor": [8], f"{BODY}/Adafactor_1": [6], "body/b/Adafactor": [8]}
        | {"w/Adafactor": [4], "w/Adafactor_1": [2]},
    ),
    "adafactor in a scope": Case(
        {BODY: [8, 6], "b": [8]},
        {f"training/{BODY}/Adafactor": [8, 6], f"training/{BODY}/Adafactor_1": [8]}
        | {f"training/{BODY}/Adafactor_2": [6], "training/b/Adafactor": [8]},
    ),
    # tensorflow/tensor2tensor utils/multistep_optimizer.py
    "multistep adam": Case(
        {"w": [2, 3]},
        slots("training/w", [2, 3], "/Adam /Adam_1 /Adam_2")
        | {"training/beta1_power": [], "training/beta2_power": [], "training/iter": []},
    ),
    # tensorflow/tensor2tensor utils/diet.py, in the scope of the variable
    "diet experts": Case(
        {"diet/dense/kernel": [4, 2], "diet/dense/b": [2]},
        {"diet/diet/dense/kernel_adam_vr": [4, 1], "diet/diet/dense/kernel_adam_vc": [1, 2]}
        | {"diet/diet/dense/b_adam_v": [2], "diet/diet/dense/b_adam_m": [2]},
    ),
    # tensorflow/tensor2tensor utils/yellowfin.py, with averages of tensors
    "yellowfin": Case(
        {"w": [4, 2]},
        {"w/YellowFin": [4, 2], "YF_lr": [], "YF_mu": [], "YF_lr_factor": [], "YF_step": [], "curv_win": [20]}
        | slots(
            "Sum grads/MatMul", [], "/ExponentialMovingAverage/local_step /ExponentialMovingAverage/biased"
        )
        | {"Sum/ExponentialMovingAverage": [], "grads/MatMul/ExponentialMovingAverage": [4, 2]},
    ),
    # tensorflow/tensor2tensor utils/t2t_model.py, versions before 1.5
    "statistics of tensor2tensor": Case(
        {"body/w": [2]}, {"losses_avg/problem_0/total_loss": [], "train_stats/problem_0_steps": []}
    ),
    # tensorflow/lingvo core/distributed_shampoo.py; all names of lingvo end in "var"
    "distributed shampoo": Case(
        {"lm/emb/w/var": [8, 6], "lm/b/var": [6]},
        slots("lm/emb/w/var lm/b/var", [6], "/DistributedShampoo_accumulator /DistributedShampoo_momentum")
        | {"lm/emb/w/var/DistributedShampoo_precond_grad_momentum": [8, 6]}
        | {"lm/emb/w/var/DistributedShampoo_mat_statistics_0": [8, 8]}
        | {"lm/emb/w/var/DistributedShampoo_mat_preconditioner_1": [6, 6]},
    ),
    # tensorflow/lingvo core/optimizer.py: Accumulator, DynamicAccumulator, GradientAggregationOptimizer
    "lingvo accumulators": Case(
        {"lm/emb/w/var": [8, 6], "lm/accum_weight/var": [2]},
        {
            "lm/emb/w/var/grad_accumulator/var": [8, 6],
            "lm/emb/w/var/GradientAccumulator": [8, 6],
            "update_count": [],
        }
        | {"opt/accum_weight/var": [], "opt/param_update_step/var": [], "opt/accum_weight_at_update/var": []},
    ),
    # tensorflow/lingvo core/egdd.py, core/adagraft.py
    "egdd": Case(
        {"lm/w/var": [8, 6]}, slots("lm/w/var", [8, 6], "/EGDD /EGDD_1 /EGDD_3") | {"lm/w/var/EGDD_2": [1]}
    ),
    "adagraft": Case(
        {"lm/w/var": [8, 6]},
        {"lm/w/var/AdaGraft": [8, 6], "lm/w/var/AdaGraft_1": [], "lm/w/var/Adam": [8, 6]},
    ),
    # google-research/google-research sm3/sm3.py
    "sm3": Case(
        {"w": [8, 6, 4], "b": [6]},
        {"w/SM3": [8], "w/SM3_1": [6], "w/SM3_2": [4], "b/SM3": [6], "b/SM3_1": [6]},
    ),
    # tensorflow/tensorflow r1.15 contrib/opt/python/training/shampoo.py, ggt.py, nadam, adamax and others
    "shampoo": Case(
        {"a/w": [8, 6]}, {"a/w/Shampoo": [8, 6], "a/w/Shampoo_1": [8, 8], "a/w/Shampoo_2": [6, 6]}
    ),
    "ggt": Case({"w": [4]}, {"flat_grad": [4], "grad_buffer": [10, 4], "moment1": [4], "global_step": []}),
    "other optimizers of contrib": Case(
        {"a/w": [4]},
        slots("a/w", [4], "/AdaMax /AdaMax_1 /Nadam /PowerSignOptimizer /LARSOptimizer /AdagradReg /AdamW"),
    ),
    # contrib/opt/python/training/elastic_average_optimizer.py, model_average_optimizer.py, agn_optimizer.py
    "elastic average": Case(
        {"hid/w": [4], "global_center_variable/only": [2]},
        {"global_center_variable/hid/w": [4], "local_center_variable/hid/w": [4]},
    ),
    # contrib/mixed_precision/python/loss_scale_manager.py, training/experimental/loss_scale.py
    "loss scale": Case(
        {"w": [4], "head/loss_scale": [], "tail/good_steps": [], "update_count": [], "a/local_step": []},
        {"loss_scale": [], "good_steps": [], "bad_steps": [], "s/current_loss_scale": [], "s/good_steps": []}
        | {"local_step": [], "batch_finite": [], "stale_counter": []},
    ),
    # NVIDIA/OpenSeq2Seq optimizers/mp_wrapper.py, and copies under appended names
    "master copies": Case(
        {"fw/w": [4]},
        {
            "Loss_Optimization/FP32-master-copy/fw/w": [4],
            "Loss_Optimization/FP32-master-copy/fw/w/Momentum": [4],
        },
    ),
    # google-research/bert optimization.py, albert lamb_optimizer.py, xlnet model_utils.py
    "bert": Case(
        {"bert/pooler/dense/kernel": [4, 4]},
        slots(
            "bert/pooler/dense/kernel", [4, 4], "/adam_m /adam_v /lamb_m /LAMB /AdamWeightDecayOptimizer_1"
        ),
    ),
    # tensorflow/models tutorials/image/cifar10: averages of losses
    "averages of losses": Case(
        {"conv1/w": [4]},
        {"conv1/w/ExponentialMovingAverage": [4], "total_loss/avg": [], "conv1/weight_loss/avg": []},
    ),
    "averages alone": Case({"w/ExponentialMovingAverage": [4], "s/ExponentialMovingAverage": []}, {}),
    # tensorflow/addons optimizers/*.py: NovoGrad has scalars, Lookahead and SWA wrap others
    "novograd": Case(
        {"dense/kernel": [4, 2]},
        {"NovoGrad/dense/kernel/v": [], "NovoGrad/dense/kernel/m": [4, 2], "NovoGrad/iter": []},
    ),
    "addons": Case(
        {"dense/kernel": [4, 2], "w": [3]},
        slots("Lookahead/dense/kernel", [4, 2], "/slow /average /conditional_gradient /tilde_w")
        | slots("Lookahead/w", [3], "/slow /average /conditional_gradient /tilde_w")
        | slots("Yogi/w", [3], "/m /L /reward /own")
        | slots("Yogi/dense/kernel", [4, 2], "/m /v /vk /sk /x_0 /reward /L /ga"),
    ),
    # keras-team/keras 2.2 optimizers.py: an optimizer without slots, and slots without names
    "keras": Case(
        {"dense/kernel": [4, 2], "Variable": [2]},
        {"SGD/iterations": [], "SGD/lr": [], "SGD/momentum": [], "SGD/decay": []}
        | {"training/SGD/Variable": [4, 2], "training/SGD/Variable_1": [2]},
    ),
    # tf.train.AdagradOptimizer and FtrlOptimizer, told names for their slots
    "named accumulators": Case({"a/w": [4]}, slots("a/w", [4], "/Adagrad/accumulator /Ftrl/linear")),
    # keras-team/keras 2.11 to 2.15 optimizers/*.py: the slot's name comes before the variable's
    "keras 2.15": Case(
        {"dense/kernel": [4, 2], "w": [3], "m/kernel": [5]},
        slots("Adam/m/ Adam/v/ Adam/velocity_hat/", [4, 2], "dense/kernel")
        | slots("Adam/m/ Adam/v/ train/RMSprop_1/average_gradient/", [3], "w")
        | {"iteration": [], "learning_rate": [], "own/m/w": [3], "own/iteration": [], "own/decay": []}
        | {"Adafactor/r/dense/kernel": [4], "Adafactor/c/dense/kernel": [2], "r/w": []},
    ),
    # keras-team/keras 3 optimizers/*.py: the variable's scopes are one word
    "keras 3": Case(
        {"model/dense/kernel": [4, 2], "other/kernel_momentum": [2]},
        slots("adam/model_dense_kernel", [4, 2], "_momentum _velocity _velocity_hat")
        | {
            "adam/iteration": [],
            "adam/learning_rate": [],
            "adam/model_dense_kernel_accumulated_delta_var": [4, 2],
        },
    ),
    # The same optimizers outside all scopes, as tf.compat.v1.train.Saver saves what they make first
    "keras outside scopes": Case(
        {"dense/kernel": [4, 2], "alpha": []},
        slots("dense/kernel", [4, 2], "/m /v")
        | {key: [] for key in ("iter", "decay", "beta_1", "learning_rate")},
    ),
    # tensorflow/tensorflow python/tpu/tpu_embedding.py
    "embeddings on TPUs": Case(
        {"emb/table": [9, 4]},
        slots(
            "emb/table",
            [9, 4],
            "/Adam/m /Adam/v /Adagrad /RMSProp/ms /RMSProp/mom /CenteredRMSProp/mg /Ftrl_1",
        )
        | slots(
            "emb/table", [9, 4], "/ProximalYogi/v /OnlineYogi/vs /FTRL/linear /AdagradMomentum/accumulator"
        )
        | {"emb/table/FrequencyEstimator/last_hit_step": [9]},
    ),
    # contrib/layers/python/layers/optimizers.py: optimize_loss; tf.estimator's early_stopping.py
    "optimize_loss": Case(
        {"dense/kernel": [4, 2], "NotOptimizeLoss/x": []},
        {"OptimizeLoss/learning_rate": [], "global_step": [], "signal_early_stopping/STOP": []}
        | {"train/OptimizeLoss/AdaptiveMaxNorm/mean": [], "OptimizeLoss/AdaptiveMaxNorm/sq_mean": []},
    ),
    # contrib/linear_optimizer/python/ops/sdca_ops.py, contrib/opt/python/training/agn_optimizer.py
    "unshrinked": Case({"a/w": [4]}, {"a/w/part_0_unshrinked/SDCAOptimizer": [2], "grad_variable/a/w": [4]}),
    # rowanz/grover lm/optimization_adafactor.py
    "grover": Case(
        {"a/kernel": [4, 2], "b": [2]},
        {"a/kernel/adafactor_vr": [4], "a/kernel/adafactor_vc": [2], "b/adafactor_v": [2]},
    ),
    # tensorflow/lingvo core/schedule.py, core/layers.py
    "lingvo schedules": Case(
        {"m/w/var": [3], "m/cur_factor/var": [], "m/log_mean/var": []},
        {"lr/cur_factor/var": [], "lr/ref_step/var": []}
        | slots("norm/", [], "log_mean/var log_mean_squared/var total_weight/var total_rejections/var"),
    ),
    "words below variables": Case(
        {"embedding": [9, 4], "enc/embedding/linear": [4, 4], "enc/embedding/v": [4], "w": [3], "w/v": [5]}
        | {"v/w": [3], "Adam/w": [3], "decay": [], "momentum": [], "x/learning_rate": []},
        {},
    ),
    # An optimizer of one's own: the first slot has the variable's shape, the second has not.
    "own optimizer": Case(
        {"a/w": [4, 2], "a/w/other_1": [3], "b/c/MyOpt": [5]},
        {"a/w/MyOpt": [4, 2], "a/w/MyOpt_1": [1], "train/a/w/MyOpt_2": []},
    ),
    "names like those of slots": Case(
        {
            name: []
            for name in ("m", "v", "linear", "average", "iter", "x/loss_scale", "x/iter", "slow", "accum")
        }
        | {"x/Adafactor": [3], "x/vr": [3], "y_v": [2], "good_steps": [], "FP32-master-copy/z": [2]},
        {},
    ),
}


def dtype_of(name: str) -> type[np.generic]:
    """What trainers count steps in, and else what they train."""
    last = name.removesuffix(":0").rpartition("/")[2]
    return np.int64 if last in {"iter", "iterations", "iteration", "global_step"} else np.float32


def variants(names: Shapes, case: str) -> Shapes:
    """Names with output numbers: none, all, or those of slots alone."""
    return {name + (":0" if case == "all" else ""): shape for name, shape in names.items()}


@pytest.mark.parametrize("outputs", ["none", "all", "mixed"])
@pytest.mark.parametrize("case", CASES)
def test_what_trainers_add_is_left_out(tmp_path: Path, case: str, outputs: str) -> None:
    kept = variants(CASES[case].kept, "all" if outputs == "all" else "none")
    left_out = variants(CASES[case].left_out, "none" if outputs == "none" else "all")
    arrays = {name: np.zeros(shape, dtype_of(name)) for name, shape in {**kept, **left_out}.items()}
    ckpt = ckptfmt.open(write_bundle(tmp_path / "m", arrays))
    assert sorted(ckpt.model_variables()) == sorted(kept)


def test_a_copy_in_float32_is_left_out_if_its_variable_is_shorter(tmp_path: Path) -> None:
    half, single = np.zeros(3, np.float16), np.zeros(3, np.float32)
    arrays = {"a/w": half, "a/w_fp32": single, "b": single, "b_fp32": single, "a/w/master": single}
    ckpt = ckptfmt.open(write_bundle(tmp_path / "m", arrays))
    assert list(ckpt.model_variables()) == ["a/w", "b", "b_fp32"]


def test_a_name_with_an_output_number_beside_one_without_is_another(tmp_path: Path) -> None:
    ckpt = new_checkpoint(tmp_path, {"w": [1.0], "w:0": [2.0], "w/Adam:0": [3.0], "v:1": [4.0]})
    assert list(ckpt.model_variables()) == ["v:1", "w", "w:0"]
    assert dict(ckpt.ema().names) == {name: name for name in ckpt}


@pytest.mark.tensorflow
def test_a_saver_with_the_names_of_variables_in_python(tmp_path: Path) -> None:
    import tensorflow as tf

    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("net"):
            w = tf1.get_variable("w", [3, 2], use_resource=False)
            b = tf1.get_variable("b", [2], use_resource=False)
        loss = tf.reduce_sum(tf.matmul(tf.ones([1, 3]), w) + b)
        step = tf1.train.get_or_create_global_step()
        average = tf1.train.ExponentialMovingAverage(0.5)
        with tf.control_dependencies([tf1.train.AdamOptimizer().minimize(loss, step)]):
            train = average.apply([w, b])
        # First the variables from which the averages start: one step runs its operations in any order.
        session.run(tf1.variables_initializer([w, b]))
        session.run(tf1.global_variables_initializer())
        session.run(train)
        tf1.train.Saver({v.name: v for v in tf1.global_variables()}).save(session, str(tmp_path / "m"))
        wanted = {v.name: session.run(average.average(v)) for v in (w, b)}
        trained = {v.name for v in tf1.trainable_variables()}
    with ckptfmt.open(tmp_path / "m") as ckpt:
        assert set(ckpt.model_variables()) == trained == {"net/w:0", "net/b:0"}
        averaged = ckpt.ema().model_variables()
        assert set(averaged) == trained
        for name, value in wanted.items():
            np.testing.assert_array_equal(averaged[name], value)


@pytest.mark.tensorflow
@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "RMSprop", "Ftrl", "Adamax", "Lion"])
def test_optimizers_of_keras_3_by_the_names_of_their_variables(tmp_path: Path, optimizer: str) -> None:
    import keras
    import tensorflow as tf

    layers = [keras.layers.Dense(4, name="momentum"), keras.layers.Dense(2, name="Adam")]
    model = keras.Sequential([keras.layers.Input((3,)), *layers])
    made = getattr(keras.optimizers, optimizer)(0.1)
    made.build(model.trainable_variables)
    # As tf.compat.v1.train.Saver stores a list of variables.
    values = {each.value.name: each.value for each in [*model.variables, *made.variables]}
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "m"),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[value.read_value() for value in values.values()],
    )
    names = {each.value.name for each in model.variables}
    assert set(ckptfmt.open(tmp_path / "m").model_variables()) == names
