#!/usr/bin/env python3
"""Makes golden cases with real Keras: graphs whose meaning its pages do not tell.

    make_keras_cases.py FOLDER [CASE ...]   (FOLDER holds keras and keras_h5)

Needs keras (3) and tf_keras (Keras 2) on TensorFlow. Each case is a model in
float64, so that what Keras computes is exact enough to compare with, and its
calls; golden_format.py runs them.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import tf_keras

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz"))
import keras_draws  # noqa: E402

SEED = 23
F64 = dict(dtype="float64")


def masked_attention(K):
    """Keras 3 passes a mask on behind an initial state and to attention, though
    no node of the graph says so, and takes it away from what attention read."""
    L = K.layers
    ids = L.Input((5,), dtype="int32", name="x")
    h = [L.Input((3,), name=f"h{i}", **F64) for i in range(2)]
    x = L.Embedding(6, 4, mask_zero=True, **F64)(ids)
    x = L.Bidirectional(L.GRU(3, return_sequences=True, **F64), **F64)(x, initial_state=h)
    a = L.MultiHeadAttention(2, 3, **F64)(x, x, use_causal_mask=True)
    residual = L.Add(**F64)([x, a])
    return K.Model([ids] + h, [L.GRU(3, **F64)(a), L.GRU(3, **F64)(residual)])


def gated_attention(K):
    L = K.layers
    x = L.Input((5, 4), name="x", **F64)
    y = L.GRU(4, return_sequences=True, **F64)(L.Masking(**F64)(x))
    a, scores = L.MultiHeadAttention(2, 3, value_dim=2, use_gate=True, sliding_window=2, **F64)(
        y, y, return_attention_scores=True)
    return K.Model(x, [a, scores])


def nested(K):
    """A model called on its own output, one inside the other, and an output of
    the model that is one of theirs."""
    L = K.layers
    i = L.Input((4, 3), **F64)
    inner = K.Model(i, L.GRU(3, return_sequences=True, **F64)(i), name="inner")
    built = K.Sequential([L.Input((4, 3), **F64), L.Dense(3, **F64)], name="built")
    other = K.Sequential([L.Input((4, 3), **F64), L.GRU(3, return_sequences=True, **F64)],
                         name="other")
    open_ = K.Sequential([L.Input((4, 3), **F64), other, L.Dense(3, activation="tanh", **F64)], name="open")
    x = L.Input((4, 3), name="x", **F64)
    a = inner(L.Masking(**F64)(x))
    b = built(built(inner(a)))
    c = open_(b)
    return K.Model(x, [L.GRU(2, **F64)(c), b, inner(c)])


def activity_order(K):
    """In which order the losses of both directions stand."""
    L, R = K.layers, K.regularizers
    x = L.Input((4, 3), name="x", **F64)
    gru = L.GRU(3, return_sequences=True, activity_regularizer=R.L1(0.25),
                bias_regularizer=R.L2(0.5), **F64)
    y = L.Bidirectional(gru, **F64)(x)
    inner = K.Sequential([L.Input((4, 6), **F64),
                          L.Dense(4, activity_regularizer=R.L2(0.5), **F64),
                          L.GRU(2, activity_regularizer=R.L1(0.5), **F64)])
    return K.Model(x, inner(y))


def stateful_initial_state(K):
    """Keras 2 takes the initial state only while the recorded one is zero."""
    L = K.layers
    x = L.Input(batch_shape=(2, 3, 2), name="x", **F64)
    h = L.Input(batch_shape=(2, 4), name="h", **F64)
    return K.Model([x, h], L.GRU(4, stateful=True, **F64)(x, initial_state=h))


def joined_masks(K):
    """The mask of two sequences that become one. Keras 3 also joins a sequence
    without a mask."""
    L = K.layers
    x = L.Input((3, 2), name="x", **F64)
    masked = L.Masking(**F64)(x)
    other = L.Masking(mask_value=1.0, **F64)(x)
    joined = L.Concatenate(axis=1, **F64)([masked, x if K is keras else other])
    either = L.Average(**F64)([masked, other])
    return K.Model(x, [L.GRU(3, **F64)(joined), L.GRU(3, **F64)(either)])


def masked_product(K):
    """Keras 3 takes one for what a mask leaves out of a factor, and zero where all
    factors have masks that leave it out; of another layer it only joins masks."""
    L = K.layers
    ids = L.Input((5,), dtype="int32", name="x")
    gate, v = L.Input((5, 1), name="gate", **F64), L.Input((3,), name="v", **F64)
    x = L.Embedding(6, 3, mask_zero=True, **F64)(ids)
    m = L.Masking(**F64)(gate)
    one = L.Multiply(**F64)([L.Dense(3, **F64)(m), L.Reshape((5, 3), **F64)(x)])
    both = L.Multiply(**F64)([x, m])
    return K.Model([ids, gate, v], [one, both, L.GRU(3, **F64)(both),
                                    L.Multiply(**F64)([x, v])])


def noise(K):
    """What a layer draws in training is an input of the case."""
    L = K.layers
    x = L.Input((5, 3), name="x", **F64)
    y = L.GaussianNoise(0.5, **F64)(L.Masking(**F64)(x))
    y = L.GRU(4, return_sequences=True, **F64)(y)
    y = L.AlphaDropout(0.25, **F64)(y)
    y = L.GRU(4, return_sequences=True, **F64)(L.GaussianDropout(0.25, **F64)(y))
    y = L.Dropout(0.25, noise_shape=(None, 1, 4), **F64)(L.SpatialDropout1D(0.25, **F64)(y))
    a = L.Attention(dropout=0.25, **F64)([y, y])
    y = L.MultiHeadAttention(2, 3, dropout=0.25, **F64)(y, a)
    return K.Model(x, L.GRU(3, activity_regularizer="l2", **F64)(y))


def batch_normalization(K):
    """By the statistics of the batch's unmasked steps, or where a layer is frozen by
    the moving ones."""
    L = K.layers
    x = L.Input((5, 3), name="x", **F64)
    y = L.BatchNormalization(**F64)(L.Masking(**F64)(x))
    y = L.GRU(4, return_sequences=True, **F64)(y)
    y = L.BatchNormalization(trainable=False, center=False, **F64)(y)
    last = L.BatchNormalization(scale=False, epsilon=1e-5, **F64)(L.GRU(3, **F64)(y))
    if K is keras:
        bounds = dict(rmin=0.5, rmax=2.0, dmax=0.25)
        y = L.BatchNormalization(renorm=True, renorm_clipping=bounds, **F64)(y)
        y = L.TimeDistributed(L.BatchNormalization(**F64), **F64)(y)
    return K.Model(x, [y, last])


def shared_levels(K):
    """A model and a layer that two levels of nesting share: the file has their
    weights once."""
    L = K.layers
    shared = K.Sequential([L.Input((4, 3), **F64), L.Dense(3, activation="tanh", **F64),
                           L.GRU(3, return_sequences=True, **F64)], name="shared")
    dense = L.Dense(3, kernel_regularizer="l2", **F64)
    i = L.Input((4, 3), **F64)
    inner = K.Model(i, dense(shared(i)), name="inner")
    x = L.Input((4, 3), name="x", **F64)
    return K.Model(x, [inner(x), shared(dense(x)), L.Dense(2, **F64)(dense(inner(x)))])


def dense_activities(K):
    """The activity regulariser of attention is that of its dense layers."""
    L, R = K.layers, K.regularizers
    x = L.Input((4, 3), name="x", **F64)
    options = dict(use_gate=True) if K is keras else {}
    layer = L.MultiHeadAttention(2, 3, value_dim=2, activity_regularizer=R.L2(0.25),
                                 kernel_regularizer=R.L1(0.5), **options, **F64)
    return K.Model(x, L.GRU(2, **F64)(layer(x, x)))


CASES = [
    ("keras/graph_masked_attention", keras, masked_attention, {}),
    ("keras_h5/k2_graph_masked_attention", tf_keras, masked_attention, {}),
    ("keras/graph_gated_attention", keras, gated_attention, {}),
    ("keras/graph_nested", keras, nested, {}),
    ("keras_h5/k2_graph_nested", tf_keras, nested, {}),
    ("keras/graph_joined_masks", keras, joined_masks, {}),
    ("keras_h5/k2_graph_joined_masks", tf_keras, joined_masks, {}),
    ("keras/graph_masked_product", keras, masked_product, {}),
    ("keras_h5/k2_graph_masked_product", tf_keras, masked_product, {}),
    ("keras/reg_activity_order", keras, activity_order, dict(kind="regularizer")),
    ("keras_h5/k2_reg_activity_order", tf_keras, activity_order, dict(kind="regularizer")),
    ("keras/reg_dense_activities", keras, dense_activities, dict(kind="regularizer")),
    ("keras_h5/k2_reg_dense_activities", tf_keras, dense_activities, dict(kind="regularizer")),
    ("keras/graph_shared_levels", keras, shared_levels, {}),
    ("keras/tfk_graph_shared_levels", tf_keras, shared_levels, {}),
    ("keras_h5/k2_graph_shared_levels", tf_keras, shared_levels, {}),
    ("keras/train_noise", keras, noise, dict(kind="train_dropout")),
    ("keras_h5/k2_train_noise", tf_keras, noise, dict(kind="train_dropout")),
    ("keras/train_batch_normalization", keras, batch_normalization, dict(kind="train_dropout")),
    ("keras_h5/k2_train_batch_normalization", tf_keras, batch_normalization,
     dict(kind="train_dropout")),
    ("keras/stateful_initial_state", keras, stateful_initial_state, dict(resets=[False, False, True])),
    ("keras_h5/k2_stateful_initial_state", tf_keras, stateful_initial_state,
     dict(resets=[False, False, True])),
]


def flatten(outputs):
    if isinstance(outputs, (list, tuple)):
        return [leaf for output in outputs for leaf in flatten(output)]
    return [outputs]


def draw(generator, tensor, dtype):
    shape = tuple(2 if size is None else size for size in tensor.shape)
    if "int" in dtype:
        value = generator.integers(1, 6, shape).astype(dtype)
        value[0, 1::2] = 0
        value[1, :] = 0
        return value
    value = generator.normal(0, 1, shape)
    if len(shape) == 3:
        value[0, 0] = 0
        value[1, 2:] = 0
        value[:, 1] = 1
    return value


def make(root, path, K, build, kind="inference", resets=(False,)):
    K.backend.clear_session()
    K.utils.set_random_seed(SEED)
    generator = np.random.default_rng(SEED)
    model = build(K)
    model.set_weights([
        generator.normal(0, 0.6, w.shape).astype(w.dtype) if "float" in str(w.dtype) else w
        for w in model.get_weights()])
    # Variances are not negative.
    for w in model.weights:
        if w.name.split(":")[0].endswith(("variance", "stddev")):
            w.assign(abs(np.asarray(w)) + 0.5)
    folder = os.path.join(root, path)
    os.makedirs(folder, exist_ok=True)
    file = "model.h5" if path.startswith("keras_h5") else "model.keras"
    model.save(os.path.join(folder, file))

    def store(name, value):
        np.save(os.path.join(folder, name + ".npy"), value)
        return name + ".npy"

    calls = []
    for number, reset in enumerate(resets):
        if reset:
            for layer in model.layers:
                if getattr(layer, "stateful", False) and hasattr(layer, "reset_states"):
                    layer.reset_states()
        values = [draw(generator, tensor, str(getattr(tensor.dtype, "name", tensor.dtype)))
                  for tensor in model.inputs]
        training, masks = kind == "train_dropout", {}
        with keras_draws.record(K, 3 if K is keras else 2, model, masks):
            outputs = flatten(model(values if len(values) > 1 else values[0], training=training))
        names = [f"output_{i}" for i in range(len(outputs))]
        outputs = [np.asarray(output) for output in outputs]
        if kind == "regularizer":
            losses = np.array([float(loss) for loss in model.losses])
            names += ["losses", "loss_total"]
            outputs += [losses, losses.sum()]
        calls.append({
            "training": training,
            "reset_states_before": reset,
            "inputs": [{"name": tensor.name.split(":")[0],
                        "role": "input",
                        "file": store(f"c{number}_in_{tensor.name.split(':')[0]}", value)}
                       for tensor, value in zip(model.inputs, values)]
            + [{"name": name, "role": "dropout_mask",
                "file": store(f"c{number}_in_{name.replace('/', '_')}", value)}
               for name, value in masks.items()],
            "outputs": [{"name": name, "file_f64": store(f"c{number}_out_{name}.f64", output)}
                        for name, output in zip(names, outputs)],
        })
    case = {
        "name": path.split("/")[1],
        "kind": kind,
        "model": file,
        "source": {"framework": K.__name__, "version": K.__version__,
                   "dialect": "keras3" if K is keras else "keras2"},
        # Keras keeps the factors of regularisers in float32.
        "tolerance": {"atol": 1e-6, "rtol": 1e-6} if kind == "regularizer" else
                     {"atol": 1e-10, "rtol": 1e-9},
        "calls": calls,
    }
    with open(os.path.join(folder, "case.json"), "w") as out:
        json.dump(case, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    for path, K, build, options in CASES:
        if sys.argv[2:] and path.split("/")[1] not in sys.argv[2:]:
            continue
        print(path, flush=True)
        make(sys.argv[1], path, K, build, **options)
