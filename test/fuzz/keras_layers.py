"""The layers of random Keras models, for keras_models.py."""

# relu6, leaky_relu and others are TensorFlow's in Keras 2, with other names.
BOTH = """elu exponential gelu hard_sigmoid linear relu selu sigmoid softmax
softplus softsign swish tanh mish""".split()
KERAS3 = """relu6 leaky_relu silu celu glu_ log_softmax log_sigmoid hard_silu
hard_tanh hard_shrink soft_shrink tanh_shrink sparse_plus sparse_sigmoid sparsemax
squareplus""".split()
KERAS3.remove("glu_")
# Values grow without bound in a recurrence over these.
BOUNDED = "tanh sigmoid hard_sigmoid softsign softmax".split()


class Layers:
    """Draws layers. What it draws from is Case's."""

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
