#!/usr/bin/env python3
"""Random models of real Keras against gru-run, where Keras is installed.

Draws models over the whole option space, lets Keras save and run them, runs
gru-run on the same file and inputs, on cpu and reference, and compares with
what Keras returns. A failure prints one line that reproduces it:

    real_keras.py --gru-run build/bin/gru-run --case 'keras3 seed=17'

    real_keras.py --gru-run build/bin/gru-run --count 300 --seed 1

Needs Python with keras (3) and tf_keras (Keras 2), both on TensorFlow; either
may be missing. One case is made from its seed alone.
"""

import argparse
import os
import random
import shlex
import subprocess
import sys
import tempfile
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# relu6, leaky_relu and others are TensorFlow's in Keras 2, with other names.
BOTH = """elu exponential gelu hard_sigmoid linear relu selu sigmoid softmax
softplus softsign swish tanh mish""".split()
KERAS3 = """relu6 leaky_relu silu celu glu_ log_softmax log_sigmoid hard_silu
hard_tanh hard_shrink soft_shrink tanh_shrink sparse_plus sparse_sigmoid sparsemax
squareplus""".split()
KERAS3.remove("glu_")
# Values grow without bound in a recurrence over these.
BOUNDED = "tanh sigmoid hard_sigmoid softsign softmax".split()
# Of the output's magnitude; half types have fewer digits.
TOLERANCES = {
    "float32": (2e-5, 2e-4),
    "float64": (1e-9, 1e-8),
    "float16": (8e-3, 1.6e-2),
    "bfloat16": (6e-2, 6e-2),
}


class Case:
    """Draws one model. `K` is the keras module."""

    def __init__(self, K, version, seed):
        import numpy

        self.K, self.L, self.version, self.np = K, K.layers, version, numpy
        self.seed = seed
        self.rng = random.Random(f"keras{version} {seed}")
        self.flag = lambda p=0.5: self.rng.random() < p
        self.pick = self.rng.choice
        self.count = 0
        self.notes = []
        self.policy = self.pick(["float32"] * 8 + ["float64", "mixed_bfloat16",
                                                   "mixed_float16", "float16"])

    @property
    def compute(self):
        return self.policy.replace("mixed_", "")

    def name(self, stem):
        self.count += 1
        return f"{stem}{self.count}"

    # --- pieces of configurations ---------------------------------------

    def activation(self, bounded=False):
        if bounded or self.compute not in ("float32", "float64"):
            return self.pick(BOUNDED)
        names = BOTH + (KERAS3 if self.version == 3 else [])
        return self.pick(["tanh", "tanh", self.pick(BOUNDED), self.pick(names), None])

    def regularizer(self, matrix):
        R = self.K.regularizers
        kinds = [lambda: R.L1(0.01), lambda: R.L2(0.02), lambda: R.L1L2(0.01, 0.03)]
        if matrix:
            kinds.append(lambda: R.OrthogonalRegularizer(0.1, self.pick(["rows", "columns"])))
        return self.pick(kinds)() if self.flag(0.1) else None

    def constraint(self):
        C = self.K.constraints
        return self.pick([None] * 8 + [C.MaxNorm(1.5), C.NonNeg(), C.UnitNorm(axis=0),
                                       C.MinMaxNorm(0.3, 1.2, 0.5, axis=1)])

    def rules(self, layer_too=True):
        result = dict(
            kernel_regularizer=self.regularizer(True),
            bias_regularizer=self.regularizer(False),
        )
        if layer_too:
            result["activity_regularizer"] = self.regularizer(False)
        return result

    def cell_options(self):
        options = dict(
            units=self.pick([1, 2, 3, 4, 5, 7, 8, 9, 16, 17]),
            activation=self.activation(),
            recurrent_activation=self.activation(bounded=True),
            use_bias=self.flag(0.8),
            reset_after=self.flag(0.7),
            dropout=self.pick([0.0, 0.0, 0.3]),
            recurrent_dropout=self.pick([0.0, 0.0, 0.0, 0.2]),
            implementation=self.pick([1, 2, 2]),
            recurrent_regularizer=self.regularizer(True),
            kernel_constraint=self.constraint(),
            recurrent_constraint=self.constraint(),
            **self.rules(layer_too=False),
        )
        if options["activation"] in ("log_softmax", "exponential", "squareplus"):
            options["recurrent_activation"] = "sigmoid"
        # Saturation of half types is nobody's business.
        return options

    def loop_options(self, sequences):
        return dict(
            return_sequences=sequences,
            go_backwards=self.flag(0.25),
            unroll=self.flag(0.2),
            zero_output_for_mask=self.flag(0.25) and self.can_zero(sequences),
        )

    def can_zero(self, sequences):
        # tf_keras raises for the last output of an unrolled loop.
        return self.version == 3 or sequences

    # --- layers on sequences ---------------------------------------------

    def recurrent(self, x, sequences, mask=None, may_state=True):
        """A recurrent layer; returns its output and further outputs."""
        L = self.L
        kind = self.pick(["gru", "gru", "gru", "cell", "stack", "bidi", "bidi"])
        loop = self.loop_options(sequences)
        state = may_state and self.flag(0.3)
        loop["return_state"] = state
        kwargs = {}
        if mask is not None:
            kwargs["mask"] = mask
        extra = dict(dtype=self.policy)
        if kind == "gru":
            options = self.cell_options()
            sizes = [options["units"]]
            layer = L.GRU(**options, **loop, activity_regularizer=self.regularizer(False),
                          name=self.name("g"), **extra)
        elif kind in ("cell", "stack"):
            cells = [L.GRUCell(**self.cell_options(), **extra)
                     for _ in range(1 if kind == "cell" else self.pick([2, 3]))]
            sizes = [cell.units for cell in cells]
            layer = L.RNN(cells[0] if kind == "cell" else
                          self.pick([cells, L.StackedRNNCells(cells, **extra)]),
                          **loop, name=self.name("r"), **extra)
        else:
            loop["go_backwards"] = False
            # Bidirectional sets it from return_sequences.
            loop["zero_output_for_mask"] = False
            if self.version == 2 and not sequences:
                loop["unroll"] = False
            options = self.cell_options()
            sizes = [options["units"]] * 2
            inner = L.GRU(**options, **loop, activity_regularizer=self.regularizer(False),
                          name=self.name("b"), **extra)
            merge = self.pick(["concat", "concat", "sum", "ave", "mul"])
            other = None
            if merge == "concat" and self.flag(0.3):
                options = self.cell_options()
                sizes = [sizes[0], options["units"]]
                other = L.GRU(**options, **dict(loop, go_backwards=True),
                              name=self.name("b"), **extra)
            layer = L.Bidirectional(inner, backward_layer=other, merge_mode=merge,
                                    name=self.name("bi"), **extra)
        if self.flag(0.25):
            states = [self.input(self.name("h"), (size,), "state") for size in sizes]
            kwargs["initial_state"] = states[0] if len(states) == 1 and self.flag() else states
        y = layer(x, **kwargs)
        self.notes.append(f"{kind} {loop}")
        if not state:
            return y, []
        return y[0], list(y[1:])

    def between(self, x):
        """A layer from a sequence to a sequence of about the same length."""
        L, steps, features = self.L, x.shape[1], x.shape[2]
        extra = dict(dtype=self.policy)
        n = self.name
        heads = lambda: L.MultiHeadAttention(
            num_heads=self.pick([1, 2, 3]), key_dim=self.pick([1, 3, 4]),
            value_dim=self.pick([None, 2]), use_bias=self.flag(), name=n("mha"), **extra)
        kinds = {
            "dense": lambda: L.Dense(self.pick([1, 3, 6]), activation=self.activation(),
                                     use_bias=self.flag(), name=n("d"), **self.rules(), **extra)(x),
            "act": lambda: L.Activation(self.pick(BOUNDED), name=n("a"), **extra)(x),
            "relu": lambda: self.relu(extra)(x),
            "drop": lambda: self.pick([L.Dropout, L.SpatialDropout1D, L.GaussianNoise,
                                       L.GaussianDropout, L.AlphaDropout])(0.3, name=n("dr"), **extra)(x),
            "ln": lambda: L.LayerNormalization(
                epsilon=self.pick([1e-3, 1e-6]), center=self.flag(0.7), scale=self.flag(0.7),
                name=n("ln"), **extra)(x),
            "bn": lambda: L.BatchNormalization(center=self.flag(0.7), scale=self.flag(0.7),
                                               name=n("bn"), **extra)(x),
            "norm": lambda: self.normalization(features, extra)(x),
            "rescale": lambda: L.Rescaling(self.pick([0.5, 2.0]), offset=self.pick([0.0, -1.0]),
                                           name=n("rs"), **extra)(x),
            "conv": lambda: self.conv(steps, features, extra)(x),
            "pool": lambda: self.pick([L.MaxPooling1D, L.AveragePooling1D])(
                self.pick([1, 2]), strides=self.pick([None, 1]),
                padding=self.pick(["same", "valid"]) if steps >= 2 else "same",
                name=n("p"), **extra)(x),
            "pad": lambda: L.ZeroPadding1D(self.pick([1, (0, 2)]), name=n("zp"), **extra)(x),
            "crop": lambda: (L.Cropping1D((1, 0), name=n("cr"), **extra) if steps > 1 else
                             L.Identity(name=n("id")) if self.version == 3 else
                             L.Activation("linear", name=n("id")))(x),
            "up": lambda: L.UpSampling1D(2, name=n("up"), **extra)(x) if steps < 5 else x,
            "attention": lambda: L.Attention(
                use_scale=self.flag(), score_mode=self.pick(["dot", "concat"]),
                name=n("at"), **extra)([x, x] if self.flag() else [x, x, x],
                                       use_causal_mask=self.flag(0.3)),
            "additive": lambda: L.AdditiveAttention(use_scale=self.flag(), name=n("aa"), **extra)([x, x]),
            "mha": lambda: heads()(x, x, use_causal_mask=self.flag(0.3)),
            "td": lambda: self.time_distributed(features, extra)(x),
            "merge": lambda: self.merge(x, extra),
            "permute": lambda: L.Permute((2, 1), name=n("pm"), **extra)(
                L.Permute((2, 1), name=n("pm"), **extra)(x)),
            "reshape": lambda: L.Reshape((steps, features), name=n("re"), **extra)(
                L.Flatten(name=n("fl"), **extra)(x)),
            "actreg": lambda: L.ActivityRegularization(l1=0.01, l2=0.02, name=n("ar"))(x),
            "nested": lambda: self.nested(steps, features, extra)(x),
        }
        # Half types sum in other orders than TensorFlow's kernels.
        kind = self.pick(sorted(kinds))
        if self.compute in ("float16", "bfloat16") and kind in ("norm", "bn", "attention", "additive",
                                                                "mha", "conv", "nested", "ln"):
            kind = "dense"
        y = kinds[kind]()
        self.notes.append(f"{kind} {x.shape}")
        return y

    def relu(self, extra):
        L, n = self.L, self.name
        kinds = [lambda: L.ReLU(max_value=self.pick([None, 1.0]), negative_slope=self.pick([0.0, 0.1]),
                                threshold=self.pick([0.0, 0.2]), name=n("re"), **extra),
                 lambda: L.LeakyReLU(name=n("lr"), **extra),
                 lambda: L.ELU(alpha=self.pick([1.0, 0.5]), name=n("el"), **extra),
                 lambda: L.Softmax(name=n("sm"), **extra)]
        return self.pick(kinds)()

    def normalization(self, features, extra):
        np = self.np
        if self.flag():
            layer = self.L.Normalization(axis=-1, name=self.name("no"), **extra)
            data = np.random.default_rng(self.seed).normal(1, 2, (50, features))
            layer.adapt(data.astype("float32"))
            return layer
        return self.L.Normalization(axis=-1, mean=[0.5] * features, variance=[2.0] * features,
                                    name=self.name("no"), **extra)

    def conv(self, steps, features, extra):
        groups = self.pick([g for g in (1, 2, 3) if features % g == 0])
        size = self.pick([1, 2, 3])
        strides, dilation = self.pick([(1, 1), (2, 1), (1, 2)])
        padding = self.pick(["same", "valid", "causal"])
        if steps < (size - 1) * dilation + 1:
            padding = "causal"
        return self.L.Conv1D(groups * self.pick([1, 2]), size, strides=strides, padding=padding,
                             dilation_rate=dilation, groups=groups, activation=self.activation(),
                             use_bias=self.flag(), name=self.name("c"), **self.rules(), **extra)

    def time_distributed(self, features, extra):
        L, n = self.L, self.name
        inner = self.pick([
            lambda: L.Dense(3, activation=self.pick(BOUNDED), name=n("d"), **extra),
            lambda: L.LayerNormalization(name=n("ln"), **extra),
            lambda: L.Reshape((features, 1), name=n("re"), **extra),
        ])()
        layer = L.TimeDistributed(inner, name=n("td"), **extra)
        if isinstance(inner, L.Reshape):
            back = L.TimeDistributed(L.Flatten(name=n("fl"), **extra), name=n("td"), **extra)
            return lambda x: back(layer(x))
        return layer

    def merge(self, x, extra):
        L, n = self.L, self.name
        other = L.Dense(x.shape[2], name=n("d"), **extra)(x)
        layer = self.pick([L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum,
                           L.Concatenate])
        return layer(name=n("m"), **extra)([x, other])

    def nested(self, steps, features, extra):
        """A model inside the model."""
        K, L, n = self.K, self.L, self.name
        if self.flag():
            return K.Sequential([L.Input((steps, features)),
                                 L.Dense(4, activation="tanh", name=n("d"), **extra),
                                 L.GRU(3, return_sequences=True, name=n("g"), **extra)],
                                name=n("seq"))
        i = L.Input((steps, features), name=n("in"))
        a = L.GRU(3, return_sequences=True, name=n("g"), **extra)(i)
        b = L.Bidirectional(L.GRU(2, return_sequences=True, **extra), name=n("bi"), **extra)(i)
        return K.Model(i, L.Concatenate(name=n("m"), **extra)([a, b]), name=n("fun"))

    # --- the model --------------------------------------------------------

    def input(self, name, shape, role, dtype=None):
        dtype = dtype or (self.policy if role != "mask" else "bool")
        if dtype.startswith("mixed_"):
            dtype = "float32"
        tensor = self.L.Input(batch_shape=(self.batch, *shape), dtype=dtype, name=name)
        self.inputs.append((name, tensor, (self.batch, *shape), role, dtype))
        return tensor

    def build(self):
        L, n = self.L, self.name
        self.batch = self.pick([1, 2, 3, 5])
        self.steps = self.pick([1, 2, 3, 5, 8])
        self.inputs, outputs = [], []
        features = self.pick([1, 2, 3, 4, 6])
        mask = None
        start = self.pick(["x", "x", "x", "mask", "embedding", "masking"])
        if start == "embedding":
            ids = self.input("x", (self.steps,), "ids", "int32")
            x = L.Embedding(7, features, mask_zero=self.flag(0.7), name=n("em"), dtype=self.policy)(ids)
        else:
            x = self.input("x", (self.steps, features), "input")
            if start == "masking":
                x = L.Masking(mask_value=0.0, name=n("ma"), dtype=self.policy)(x)
            if start == "mask":
                mask = self.input("mask", (self.steps,), "mask")
        for _ in range(self.pick([0, 0, 1, 2])):
            if mask is None:
                x = self.between(x)
        for last in (False,) * self.pick([0, 0, 1]) + (True,):
            sequences = not last or self.flag()
            x, states = self.recurrent(x, sequences, mask)
            outputs += states
            mask = None
            if not last and self.flag(0.4):
                x = self.between(x)
        if len(x.shape) == 3 and self.flag():
            x = self.between(x)
        if len(x.shape) == 3 and self.flag(0.4):
            x = self.pick([L.GlobalAveragePooling1D, L.GlobalMaxPooling1D, L.Flatten])(
                name=n("gp"), dtype=self.policy)(x)
        if self.flag(0.4):
            x = L.Dense(2, activation=self.pick(BOUNDED), name=n("d"), dtype=self.policy,
                        **self.rules())(x)
        if not self.K.backend.is_keras_tensor(x) if self.version == 2 else False:
            raise ValueError("no tensor")
        model = self.K.Model([i[1] for i in self.inputs], [x] + outputs)
        self.fill(model)
        return model

    def fill(self, model):
        """Weights that are no initial values: biases are not zero."""
        generator = self.np.random.default_rng(self.seed)
        values = []
        for w in model.get_weights():
            if "float" not in str(w.dtype):
                values.append(w)
                continue
            scale = 1 / max(1, w.shape[0]) ** 0.5 if w.ndim > 1 else 0.3
            drawn = generator.normal(0, scale, w.shape)
            # Variances and scales stay positive; that is what they are.
            if (w.ndim <= 1) and self.np.all(w > 0) and w.size:
                drawn = 0.5 + abs(drawn)
            values.append(drawn.astype(w.dtype))
        model.set_weights(values)

    def values(self):
        """An array for each input."""
        np = self.np
        generator = np.random.default_rng(self.seed + 1)
        result = {}
        for name, _, shape, role, dtype in self.inputs:
            if role == "ids":
                value = generator.integers(0, 7, shape).astype("int32")
                if self.flag():
                    value[0] = 0
            elif role == "mask":
                value = generator.random(shape) < self.pick([0.3, 0.7])
                kind = self.pick(["holes", "right", "left", "none"])
                if kind in ("right", "left"):
                    lengths = generator.integers(0, shape[1] + 1, (shape[0], 1))
                    value = np.arange(shape[1])[None] < lengths
                    if kind == "left":
                        value = value[:, ::-1].copy()
                if kind == "none":
                    value[0] = False
            else:
                value = generator.normal(0, 1, shape)
                if role == "input" and self.flag():
                    value[generator.random(shape[:-1]) < 0.3] = 0
                value = value.astype(dtype if dtype != "bfloat16" else "float32")
            result[name] = value
        return result


def run_case(gru_run, K, version, seed, keep=None):
    """None where gru-run agrees with Keras, else what went wrong; the second
    value tells whether Keras itself refused the case."""
    import numpy as np

    case = Case(K, version, seed)
    K.utils.set_random_seed(seed)
    try:
        model = case.build()
        values = case.values()
        call = [values[i[0]] for i in case.inputs]
        outputs = model(call, training=False)
        losses = [float(np.asarray(K.backend.get_value(l) if version == 2 else l, "float64"))
                  for l in model.losses]
    except Exception as error:  # Keras's own limits
        return None, f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"
    if not isinstance(outputs, (list, tuple)):
        outputs = [outputs]
    atol, rtol = TOLERANCES[case.compute]
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or scratch
        os.makedirs(folder, exist_ok=True)
        extension = case.pick(["keras", "h5"])
        path = os.path.join(folder, "model." + extension)
        try:
            model.save(path)
        except Exception as error:
            return None, f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"
        arguments = ["--losses", "--atol", str(atol), "--rtol", str(rtol)]
        for name, value in values.items():
            np.save(os.path.join(folder, f"in_{name}.npy"), value)
            arguments += ["--input", f"{name}={folder}/in_{name}.npy"]
        limit = 0
        for index, output in enumerate(outputs):
            output = np.asarray(output, "float64")
            if not np.isfinite(output).all() or (output.size and abs(output).max() > 1e4):
                return None, "Keras's own numbers grow without bound"
            np.save(os.path.join(folder, f"out_{index}.npy"), output)
            arguments += ["--expected", f"output_{index}={folder}/out_{index}.npy"]
        total = float(sum(losses))
        # Keras keeps some factors as float32, also where the losses are float64.
        if np.isfinite(total) and case.compute == "float32":
            np.save(os.path.join(folder, "losses.npy"), np.asarray(losses, "float64"))
            arguments += ["--expected", f"losses={folder}/losses.npy"]
        for target in ("cpu", "reference"):
            command = [gru_run, path, "--target", target] + arguments
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if done.returncode:
                text = (done.stdout + done.stderr).strip().splitlines()
                worst = [line for line in text if "not within" in line]
                return (f"{target}: " + " | ".join(worst[:2] + text[-1:]) + "\n    "
                        + "; ".join([case.policy, extension] + case.notes)), None
    return None, None


def load(version):
    try:
        if version == 3:
            import keras
            return keras if keras.__version__.startswith("3") else None
        import tf_keras
        return tf_keras
    except ImportError:
        return None


def main():
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gru-run", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--versions", default="3,2", help="of Keras")
    parser.add_argument("--case", help="one case, as a failure prints it")
    parser.add_argument("--keep", help="with --case: keep model and arrays in this folder")
    parser.add_argument("--verbose", action="store_true", help="tell what Keras refuses")
    arguments = parser.parse_args()
    if arguments.case:
        framework, seed = arguments.case.split()
        cases = [(int(framework[-1]), int(seed.split("=")[1]))]
    else:
        versions = [int(v) for v in arguments.versions.split(",") if load(int(v))]
        if not versions:
            print("Keras is not installed")
            return 77
        cases = [(versions[i % len(versions)], arguments.seed * 100000 + i)
                 for i in range(arguments.count)]
    passed = failed = refused = 0
    for version, seed in cases:
        problem, refusal = run_case(arguments.gru_run, load(version), version, seed, arguments.keep)
        load(version).backend.clear_session()
        if refusal:
            refused += 1
            if arguments.verbose or arguments.case:
                print(f"keras{version} seed={seed}: Keras: {refusal}")
        elif problem:
            failed += 1
            print(f"{sys.argv[0]} --gru-run {shlex.quote(arguments.gru_run)} "
                  f"--case 'keras{version} seed={seed}'\n    {problem}", flush=True)
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed, {refused} refused by Keras")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
