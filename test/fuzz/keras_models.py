"""Random models of Keras, for real_keras.py.

One model is made from its seed alone: Case draws it, with its inputs.
"""

import random

from keras_layers import BOUNDED, Layers

class Case(Layers):
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
        self.policy = self.pick(["float32"] * 8 + ["float64", "mixed_bfloat16", "mixed_float16",
                                                   "float16", "bfloat16"])
        # Halves drift apart from call to call.
        self.stateful = self.flag(0.12) and self.compute in ("float32", "float64")
        # Their masks of cells are cases of their own: test/golden, train_dropout_*.
        self.training = (not self.stateful and self.compute in ("float32", "float64")
                         and self.flag(0.15))

    @property
    def compute(self):
        return self.policy.replace("mixed_", "")

    def dtype(self):
        """A layer's policy: now and then another one than the model's."""
        if self.policy == "float32" and self.flag(0.06):
            return dict(dtype="float64")
        return dict(dtype=self.policy)

    def name(self, stem):
        self.count += 1
        return f"{stem}{self.count}"

    # --- the model --------------------------------------------------------

    @property
    def plain(self):
        """The type of an input."""
        return "float32" if self.policy.startswith("mixed_") else self.policy

    def input(self, name, shape, role, dtype=None):
        dtype = dtype or (self.plain if role != "mask" else "bool")
        tensor = self.L.Input(batch_shape=(self.batch, *shape), dtype=dtype, name=name)
        self.inputs.append((name, tensor, (self.batch, *shape), role, dtype))
        return tensor

    def build(self):
        L, n = self.L, self.name
        self.batch = self.pick([1, 2, 3, 5])
        self.steps = self.pick([1, 2, 3, 5, 8])
        self.inputs, outputs, self.extra_outputs, self.deep = [], [], [], False
        if self.version == 2 and self.flag(0.06):
            return self.build_time_major()
        if not self.training and self.flag(0.12):
            return self.build_sequential()
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
        if len(x.shape) == 2 and self.flag(0.15):
            x = self.decoder(x)
        if self.flag(0.4):
            x = L.Dense(2, activation=self.pick(BOUNDED), name=n("d"), dtype=self.policy,
                        **self.rules())(x)
        if not self.K.backend.is_keras_tensor(x) if self.version == 2 else False:
            raise ValueError("no tensor")
        model = self.K.Model([i[1] for i in self.inputs], [x] + outputs + self.extra_outputs)
        self.fill(model)
        return model

    def build_sequential(self):
        """A Sequential whose first layer gives the input's shape, as old models have it."""
        L, n, extra = self.L, self.name, dict(dtype=self.policy)
        features = self.pick([1, 2, 3])
        shape = (self.batch, self.steps, features)
        ids = self.flag(0.3)
        first = []
        old = {}
        if ids:
            first = [L.Embedding(7, features, mask_zero=self.flag(0.7), name=n("em"), **extra)]
        elif self.version == 2 and not self.stateful:
            old = self.pick([dict(input_shape=shape[1:]), dict(batch_input_shape=shape),
                             dict(input_dim=features, input_length=self.steps), dict(input_shape=(None, features))])
        if not old:
            given = shape[:2] if ids else shape
            first.insert(0, L.Input(batch_shape=given, dtype="int32" if ids else self.plain, name="x"))
            if self.flag(0.3) and not ids:
                first.append(L.Masking(0.0, name=n("ma"), **extra))
        old_form, layers = bool(old), []
        sequences = [True] * self.pick([0, 0, 1, 2]) + [self.flag()]
        for returns in sequences:
            loop = self.loop_options(returns)
            options = self.cell_options()
            kind = self.pick(["gru", "bidi", "cell"])
            if kind == "bidi":
                loop.update(go_backwards=False, zero_output_for_mask=False, unroll=False)
                layers.append(L.Bidirectional(L.GRU(**options, **loop, name=n("g"), **extra), name=n("bi"),
                                              merge_mode=self.pick(["concat", "sum", "ave", "mul"]),
                                              **extra, **old))
            elif kind == "cell":
                layers.append(L.RNN(L.GRUCell(**options, **extra), **loop, name=n("r"), **extra, **old))
            else:
                layers.append(L.GRU(**options, **loop, name=n("g"), **extra, **old))
            old = {}
            layers.append(self.pick([
                L.Dropout(0.2, name=n("dr"), **extra), L.Activation("tanh", name=n("a"), **extra),
                L.Dense(3, name=n("d"), **extra), L.BatchNormalization(name=n("bn"), **extra)
                if self.compute[-2:] in ("32", "64") else L.Dense(2, name=n("d"), **extra)]))
            self.notes.append(f"{kind} {loop}")
        if sequences[-1] and self.flag():
            layers.append(L.TimeDistributed(L.Dense(2, name=n("d"), **extra), name=n("td"), **extra))
        model = self.K.Sequential(first + layers, name=n("seq"))
        name = model.inputs[0].name.split(":")[0] if old_form else "x"
        self.inputs.append((name, model.inputs[0], shape[:2] if ids else shape, "ids" if ids else "input",
                            "int32" if ids else self.plain))
        self.fill(model)
        return model

    def build_time_major(self):
        """Layers on [timesteps, batch, features], which only they understand."""
        steps = self.steps
        x = self.L.Input(batch_shape=(steps, self.batch, 3), dtype=self.plain, name="x")
        self.inputs.append(("x", x, (steps, self.batch, 3), "input", self.plain))
        outputs = []
        for sequences in (True, self.flag()):
            loop = self.loop_options(sequences)
            options = self.cell_options()
            layer = self.L.GRU(**options, **loop, time_major=True, return_state=True,
                               name=self.name("g"), dtype=self.policy)
            x, state = layer(x)
            outputs.append(state)
            self.notes.append(f"time_major {loop}")
        model = self.K.Model([self.inputs[0][1]], [x] + outputs)
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
        for layer in model._flatten_layers():
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()

    def values(self, call=0):
        """An array for each input."""
        np = self.np
        generator = np.random.default_rng(self.seed + 1 + call)
        result = {}
        for name, _, shape, role, dtype in self.inputs:
            if role == "ids":
                value = generator.integers(0, 7, shape).astype("int32")
                if self.flag():
                    value[0] = 0
            elif role == "mask":
                value = generator.random(shape) < self.pick([0.3, 0.7])
                kind = self.pick(["holes", "right", "left", "none"] if len(shape) == 2 else ["holes"])
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
