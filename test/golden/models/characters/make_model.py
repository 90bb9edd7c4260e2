#!/usr/bin/env python3
"""Trains model.keras: a character in, logits of the next one out, and the state of
the GRU in and out. It learns Shakespeare's Sonnet 18 by heart. Needs keras with
TensorFlow."""

import os

import keras
import numpy as np
import tensorflow as tf

HERE = os.path.dirname(os.path.abspath(__file__))
# The characters that examples/characters.cpp counts.
ALPHABET = "\n ',.:;?abcdefghijklmnopqrstuvwxyz"
TEXT = """shall i compare thee to a summer's day?
thou art more lovely and more temperate:
rough winds do shake the darling buds of may,
and summer's lease hath all too short a date;
sometime too hot the eye of heaven shines,
and often is his gold complexion dimm'd;
and every fair from fair sometime declines,
by chance or nature's changing course untrimm'd;
but thy eternal summer shall not fade,
nor lose possession of that fair thou ow'st;
nor shall death brag thou wander'st in his shade,
when in eternal lines to time thou grow'st:
so long as men can breathe or eyes can see,
so long lives this, and this gives life to thee.
"""
UNITS = 64

keras.utils.set_random_seed(1)
embedding = keras.layers.Embedding(len(ALPHABET), 16, name="embedding")
gru = keras.layers.GRU(UNITS, return_sequences=True, return_state=True, name="gru")
dense = keras.layers.Dense(len(ALPHABET), name="logits")
character = keras.Input((None,), dtype="int32", name="character")
state = keras.Input((UNITS,), name="state")
sequence, last = gru(embedding(character), initial_state=state)
model = keras.Model([character, state], [dense(sequence), last])

codes = np.array([ALPHABET.index(c) for c in TEXT + TEXT[:64]])
optimizer = keras.optimizers.Adam(5e-3)


@tf.function
def step(x, y):
    with tf.GradientTape() as tape:
        logits, _ = model([x, tf.zeros((tf.shape(x)[0], UNITS))])
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
        )
    optimizer.apply_gradients(
        zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    )
    return loss


random = np.random.default_rng(1)
for number in range(900):
    starts = random.integers(0, len(TEXT), 24)
    windows = np.stack([codes[s : s + 64] for s in starts]).astype(np.int32)
    loss = step(tf.constant(windows[:, :-1]), tf.constant(windows[:, 1:]))
    if number % 100 == 0:
        print(number, float(loss), flush=True)
    if number == 600:
        optimizer.learning_rate.assign(1e-3)
print("loss", float(loss))
model.save(os.path.join(HERE, "model.keras"))
