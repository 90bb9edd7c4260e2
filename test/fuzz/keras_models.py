"""Random models of Keras, for real_keras.py.

One model is made from its seed alone: Case draws it, with its inputs.
"""

import random

# relu6, leaky_relu and others are TensorFlow's in Keras 2, with other names.
BOTH = """elu exponential gelu hard_sigmoid linear relu selu sigmoid softmax
softplus softsign swish tanh mish""".split()
KERAS3 = """relu6 leaky_relu silu celu glu_ log_softmax log_sigmoid hard_silu
hard_tanh hard_shrink soft_shrink tanh_shrink sparse_plus sparse_sigmoid sparsemax
squareplus""".split()
KERAS3.remove("glu_")
# Values grow without bound in a recurrence over these.
BOUNDED = "tanh sigmoid hard_sigmoid softsign softmax".split()

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

    # --- pieces of configurations ---------------------------------------

    def activation(self, bounded=False):
        if bounded or self.compute not in ("float32", "float64"):
            return self.pick(BOUNDED)
        names = BOTH + (KERAS3 if self.version == 3 else [])
        return self.pick(["tanh", "tanh", self.pick(BOUNDED), self.pick(names), None])

    def activation_layer(self):
        """A layer as an activation argument."""
        L = self.L
        return self.pick([lambda: L.LeakyReLU(), lambda: L.ELU(alpha=0.5), lambda: L.ReLU(max_value=2.0),
                          lambda: L.Softmax()])()

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
            activation=self.activation_layer() if self.flag(0.03) and self.compute[-2:] in ("32", "64")
            else self.activation(),
            recurrent_activation=self.activation(bounded=True),
            use_bias=self.flag(0.8),
            reset_after=self.flag(0.7),
            dropout=0.0 if self.training else self.pick([0.0, 0.0, 0.3]),
            recurrent_dropout=0.0 if self.training else self.pick([0.0, 0.0, 0.0, 0.2]),
            implementation=self.pick([1, 2, 2]),
            recurrent_regularizer=self.regularizer(True),
            kernel_constraint=self.constraint(),
            recurrent_constraint=self.constraint(),
            **self.rules(layer_too=False),
        )
        # TensorFlow has no QR in bfloat16.
        if self.policy == "bfloat16":
            options["recurrent_initializer"] = "glorot_uniform"
        # Gates below zero let such states grow, and rounding with them.
        if options["activation"] not in BOUNDED or self.compute[-2:] == "16":
            options["recurrent_activation"] = self.pick(["sigmoid", "hard_sigmoid", "softmax"])
        return options

    def loop_options(self, sequences):
        return dict(
            return_sequences=sequences,
            go_backwards=self.flag(0.25),
            unroll=self.flag(0.2),
            zero_output_for_mask=self.flag(0.25) and self.can_zero(sequences),
            stateful=self.stateful,
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
        extra = self.dtype()
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
                          self.stack(cells, extra),
                          **loop, name=self.name("r"), **extra)
        else:
            loop["go_backwards"] = False
            # Bidirectional sets it from return_sequences.
            loop["zero_output_for_mask"] = False
            if self.version == 2 and not sequences:
                loop["unroll"] = False
            options = self.cell_options()
            sizes = [options["units"]] * 2
            if self.flag(0.2):
                cells = [L.GRUCell(**self.cell_options(), **extra)
                         for _ in range(self.pick([1, 1, 2]))]
                sizes = [cell.units for cell in cells] * 2
                inner = L.RNN(cells[0] if len(cells) == 1 else self.stack(cells, extra), **loop,
                              name=self.name("b"), **extra)
            else:
                inner = L.GRU(**options, **loop, activity_regularizer=self.regularizer(False),
                              name=self.name("b"), **extra)
            merge = self.pick(["concat", "concat", "sum", "ave", "mul", None])
            other = None
            if merge in ("concat", None) and isinstance(inner, L.GRU) and self.flag(0.3):
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
        self.notes.append(f"{kind} {loop} {sorted(kwargs)}")
        y = list(y) if isinstance(y, (list, tuple)) else [y]
        if kind == "bidi" and merge is None:
            y[:2] = [L.Concatenate(name=self.name("m"), **extra)(y[:2])]
        return y[0], y[1:]

    def stack(self, cells, extra):
        # A list becomes a StackedRNNCells of float32, which rounds; Keras 3 rounds
        # the states of every step.
        if self.version == 3 and self.compute == "float64":
            return self.L.StackedRNNCells(cells, **extra)
        return self.pick([cells, self.L.StackedRNNCells(cells, **extra)])

    def decoder(self, x):
        """A sequence from one vector, whose layer starts with it too."""
        L, n, extra = self.L, self.name, dict(dtype=self.policy)
        options = self.cell_options()
        options["activation"] = self.activation(bounded=True)
        state = L.Dense(options["units"], activation="tanh", name=n("d"), **extra)(x)
        repeated = L.RepeatVector(self.steps, name=n("rv"), **extra)(x)
        layer = L.GRU(**options, **self.loop_options(True), name=n("g"), **extra)
        self.notes.append("decoder")
        return layer(repeated, initial_state=self.pick([state, [state]]))

    def second(self, x, extra):
        """Joined with another input."""
        other = self.input(self.name("y"), (x.shape[1], self.pick([1, 2])), "input")
        if self.flag():
            other = self.L.Masking(0.0, name=self.name("ma"), **extra)(other)
        other = self.L.Dense(x.shape[2], name=self.name("d"), **extra)(other)
        layer = self.pick([self.L.Add, self.L.Multiply, self.L.Concatenate, self.L.Average])
        return layer(name=self.name("m"), **extra)([x, other])

    def dropout(self, x, extra):
        L, name = self.L, self.name("dr")
        kind = self.pick([L.Dropout, L.Dropout, L.SpatialDropout1D, L.GaussianNoise, L.GaussianDropout,
                          L.AlphaDropout])
        kwargs = dict(extra)
        if kind in (L.Dropout, L.AlphaDropout) and self.flag(0.3):
            kwargs["noise_shape"] = self.pick([(None, 1, None), (None, x.shape[1], 1), (1, 1, x.shape[2])])
        if kind is L.SpatialDropout1D and self.version == 2:
            return kind(0.3, name=name, **kwargs)(x)
        return kind(0.3, seed=self.pick([None, 3]), name=name, **kwargs)(x)

    def batch_normalization(self, extra):
        kwargs = dict(center=self.flag(0.7), scale=self.flag(0.7), epsilon=self.pick([1e-3, 1e-5]),
                      trainable=self.flag(0.8))
        if self.version == 3 and self.flag(0.2):
            kwargs.update(renorm=True, renorm_clipping=self.pick([None, dict(rmin=0.5, rmax=2.0, dmax=1.0)]))
        return self.L.BatchNormalization(name=self.name("bn"), **kwargs, **extra)

    def between(self, x):
        """A layer from a sequence to a sequence of about the same length."""
        L, steps, features = self.L, x.shape[1], x.shape[2]
        extra = self.dtype()
        n = self.name
        kinds = {
            "dense": lambda: L.Dense(self.pick([1, 3, 6]), activation=self.activation(),
                                     use_bias=self.flag(), name=n("d"), **self.rules(), **extra)(x),
            "act": lambda: L.Activation(self.pick(BOUNDED), name=n("a"), **extra)(x),
            "relu": lambda: self.relu(extra)(x),
            "drop": lambda: self.dropout(x, extra),
            "ln": lambda: L.LayerNormalization(
                epsilon=self.pick([1e-3, 1e-6]), center=self.flag(0.7), scale=self.flag(0.7),
                name=n("ln"), **extra)(x),
            "bn": lambda: self.batch_normalization(extra)(x),
            "second": lambda: self.second(x, extra),
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
                dropout=self.pick([0.0, 0.2]), name=n("at"), **extra)([x, x] if self.flag() else [x, x, x],
                                       use_causal_mask=self.flag(0.3)),
            "additive": lambda: L.AdditiveAttention(use_scale=self.flag(), name=n("aa"), **extra)([x, x]),
            "mha": lambda: self.heads(x, extra),
            "residual": lambda: L.Add(name=n("m"), **extra)([x, self.heads(x, extra)]),
            "shared": lambda: self.shared(x, features, extra),
            "dot": lambda: L.Dot(axes=(1, 2), normalize=self.flag(0.3), name=n("do"), **extra)(
                [x, L.Dense(steps, name=n("d"), **extra)(
                    L.Permute((2, 1), name=n("pm"), **extra)(x))]),
            "join": lambda: L.Concatenate(axis=1, name=n("m"), **extra)(
                [x, L.Dense(features, name=n("d"), **extra)(x)]),
            "masking": lambda: L.Masking(0.0, name=n("ma"), **extra)(x),
            "deep": lambda: self.nested_deep(steps, features, extra)(x),
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
        if self.training and kind in ("nested", "deep", "shared", "td"):
            kind = self.pick(["bn", "drop"])
        if self.compute in ("float16", "bfloat16") and kind in ("norm", "attention", "additive", "mha",
                                                                "conv", "nested", "residual", "dot", "deep"):
            kind = "dense"
        y = kinds[kind]()
        self.notes.append(f"{kind} {x.shape}")
        return y

    def heads(self, x, extra):
        options = dict(num_heads=self.pick([1, 2, 3]), key_dim=self.pick([1, 3, 4]),
                       value_dim=self.pick([None, 2]), use_bias=self.flag(),
                       dropout=self.pick([0.0, 0.2]), **self.rules())
        if self.version == 3:
            options.update(use_gate=self.flag(0.2), sliding_window=self.pick([None, None, 2]))
        layer = self.L.MultiHeadAttention(name=self.name("mha"), **options, **extra)
        kwargs = dict(use_causal_mask=True) if self.flag(0.3) else {}
        if self.flag(0.3):
            kwargs["key"] = self.L.Dense(x.shape[2], name=self.name("d"), **extra)(x)
        if self.flag(0.2):
            shape = (x.shape[1], x.shape[1])
            kwargs["attention_mask"] = self.input(self.name("am"), shape, "mask")
        if self.flag(0.2):
            y, scores = layer(x, x, return_attention_scores=True, **kwargs)
            self.extra_outputs.append(scores)
            return y
        return layer(x, x, **kwargs)

    def shared(self, x, features, extra):
        """One layer called twice, on a tensor and on what it has made of it."""
        layer = self.pick([
            lambda: self.L.GRU(features, return_sequences=True, name=self.name("g"),
                               stateful=self.stateful, activity_regularizer=self.regularizer(False),
                               recurrent_initializer="glorot_uniform", **extra),
            lambda: self.L.Dense(features, name=self.name("d"), **self.rules(), **extra)])()
        return self.L.Add(name=self.name("m"), **extra)([layer(x), layer(layer(x))])

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
            lambda: L.BatchNormalization(name=n("bn"), **extra),
            lambda: L.Dropout(0.3, name=n("dr"), **extra),
            lambda: L.Reshape((features, 1), name=n("re"), **extra),
            lambda: "sequence",
        ])()
        if inner == "sequence":
            # Each timestep's features as a sequence of their own.
            layer = self.pick([
                lambda: L.GRU(2, recurrent_initializer="glorot_uniform", name=n("g"), **extra),
                lambda: L.Bidirectional(L.GRU(2, recurrent_initializer="glorot_uniform", name=n("g"), **extra),
                                        name=n("bi"), **extra),
                lambda: L.GlobalMaxPooling1D(name=n("gp"), **extra),
                lambda: self.K.Sequential([L.Input((features, 1)), L.Conv1D(2, 1, name=n("c"), **extra),
                                           L.GRU(2, recurrent_initializer="glorot_uniform", name=n("g"),
                                                 **extra)], name=n("seq"))])()
            split = L.TimeDistributed(L.Reshape((features, 1), name=n("re"), **extra), name=n("td"), **extra)
            each = L.TimeDistributed(layer, name=n("td"), **extra)
            return lambda x: each(split(x))
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

    def nested_deep(self, steps, features, extra):
        self.deep = True
        return self.nested(steps, features, extra, depth=2)

    def nested(self, steps, features, extra, depth=1):
        """A model inside the model, called once or twice."""
        K, L, n = self.K, self.L, self.name
        gru = lambda units: L.GRU(units, return_sequences=True, name=n("g"),
                                  activity_regularizer=self.regularizer(False),
                                  recurrent_initializer="glorot_uniform", **extra)
        kind = self.pick(["sequential", "unbuilt", "functional"])
        inner = [self.nested(steps, features, extra, depth - 1)] if depth > 1 else []
        if kind != "functional":
            layers = [*inner, L.Dense(4, activation="tanh", name=n("d"), **self.rules(), **extra),
                      gru(features)]
            if kind == "sequential":
                layers.insert(0, L.Input((steps, features)))
            model = K.Sequential(layers, name=n("seq"))
        else:
            i = L.Input((steps, features), name=n("in"))
            x = inner[0](i) if inner else i
            b = L.Bidirectional(gru(2), name=n("bi"), **extra)(i)
            joined = L.Concatenate(name=n("m"), **extra)([gru(3)(x), b])
            model = K.Model(i, L.Dense(features, name=n("d"), **extra)(joined), name=n("fun"))
        twice = self.flag(0.3)
        return (lambda x: model(model(x))) if twice and depth == 1 and not self.deep else model

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
