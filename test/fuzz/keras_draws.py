"""What a Keras model draws in training, for real_keras.py.

record(K, model, masks) replaces the generators of a model's layers by one that
puts what it draws into `masks`, under the names that gru-run takes.
"""

import contextlib

import numpy as np


class Generator:
    """What the layer `name` draws from."""

    def __init__(self, layer, name, masks, seed):
        self.layer, self.name, self.masks = layer, name, masks
        self.random = np.random.default_rng(seed)

    def keep(self, array, dtype, stem="dropout_mask"):
        self.masks[f"{self.name}/{stem}"] = array = np.asarray(array).astype(dtype)
        return array

    def dropout(self, inputs, rate, noise_shape=None, **_):
        shape = list(inputs.shape)
        if noise_shape is not None:
            shape = [full if size is None else int(size) for size, full in zip(noise_shape, shape)]
        kept = self.random.random(shape) >= rate
        return inputs * self.keep(kept / (1 - rate), inputs.dtype.name)

    def random_normal(self, shape, mean=0.0, stddev=1.0, dtype=None, **_):
        stem = "noise" if type(self.layer).__name__ == "GaussianNoise" else "dropout_mask"
        return self.keep(self.random.normal(mean, stddev, [int(n) for n in shape]),
                         getattr(dtype, "name", dtype), stem)

    def random_uniform(self, shape, **_):
        shape = [int(n) for n in shape]
        drawn = self.random.random(shape).astype("float32")
        # Only AlphaDropout: it keeps what is not below the rate.
        self.keep(drawn >= np.float32(self.layer.rate), "float32")
        return drawn


def generators(model, masks):
    """Of the layers that draw, and of what is inside them."""
    for number, layer in enumerate(model.layers):
        drawing = getattr(layer, "_dropout_layer", layer)
        yield drawing, Generator(drawing, layer.name, masks, number)


@contextlib.contextmanager
def record(K, version, model, masks):
    if version == 2:
        for layer, generator in generators(model, masks):
            if hasattr(layer, "_random_generator"):
                layer._random_generator = generator
        yield
        return
    from keras.src.backend import random

    owners = {id(layer.seed_generator): generator for layer, generator in generators(model, masks)
              if getattr(layer, "seed_generator", None) is not None}
    own = random.dropout, random.normal, random.uniform
    random.dropout = lambda inputs, rate, noise_shape=None, seed=None: \
        owners[id(seed)].dropout(inputs, rate, noise_shape)
    random.normal = lambda shape, mean=0.0, stddev=1.0, dtype=None, seed=None: \
        owners[id(seed)].random_normal(shape, mean, stddev, dtype)
    random.uniform = lambda shape, minval=0.0, maxval=1.0, dtype=None, seed=None: \
        owners[id(seed)].random_uniform(shape)
    try:
        yield
    finally:
        random.dropout, random.normal, random.uniform = own
