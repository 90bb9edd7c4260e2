"""Compiles GRU networks to native code.

    import gru
    model = gru.load("denoise.keras")
    program = model.compile(batch=1)
    y = program(x)                      # NumPy arrays, or what speaks DLPack

Arrays are given in the model's order or by name, on the host. The result is one
array, or a tuple of them where the model has several outputs; `out` takes arrays or
tensors that are written instead. NumPy has no bfloat16: such values are float32 here.
"""

import json
import os

import numpy as np

from . import _gru
from .frameworks import from_keras, from_torch

__all__ = ["CellDropout", "Model", "Program", "Session", "from_keras", "from_torch", "load"]

_DTYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "bf16": np.uint16,  # its bits
    "bool": np.bool_,
    "i32": np.int32,
    "i64": np.int64,
}


def _is_on_device(value):
    """Whether an array lies in a CUDA device's memory."""
    cuda, cuda_managed = 2, 13
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and device()[0] in (cuda, cuda_managed)


def _as_array(value, dtype):
    """A dense array of this type; values that do not survive are an error."""
    if _is_on_device(value):
        return value.detach() if hasattr(value, "detach") else value
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        # A tensor of a framework that still tracks gradients does not export.
        value = value.detach() if hasattr(value, "detach") else value
        if dtype == "bf16" and "bfloat16" in str(getattr(value, "dtype", "")):
            return value
        value = np.from_dlpack(value)
    kind = np.float32 if dtype == "bf16" else _DTYPES[dtype]
    array = np.ascontiguousarray(np.asarray(value).astype(kind, casting="same_kind", copy=False))
    return _to_bfloat16(array) if dtype == "bf16" else array


def _to_bfloat16(array):
    """The bits of float32 values rounded to nearest even; NaN stays NaN."""
    bits = array.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(array), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def _from_bits(array, dtype):
    """What a model's arrays are outside: float32 for bfloat16."""
    if dtype != "bf16":
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)


def _from_bytes(data, dtype, shape):
    array = np.frombuffer(data, _DTYPES[dtype]).reshape(shape).copy()
    return _from_bits(array, dtype)


class Session:
    """The state of one stream. Used by one thread at a time."""

    def __init__(self, program, max_timesteps):
        self._program = program
        self._session = program._program.session(max_timesteps)

    def __call__(self, *args, training=False, out=None, **kwargs):
        """Reads the inputs, advances the state, returns the outputs. training: as in
        Keras, dropout acts; see prepare_training. out: an array or tensor for each
        output (one, or a sequence), dense and of the output's type and shape; it is
        written and returned.

        Programs for a GPU take arrays on the device, inputs and `out` alike, if they
        speak DLPack. They are used in the order of the session's stream, see
        set_stream; without one they have to be ready before the call, and outputs are
        ready after it."""
        program = self._program
        inputs = program._bind(args, kwargs)
        training = training and not program._is_training
        if training:
            self.prepare_training()
        if out is not None:
            outputs = list(out) if isinstance(out, (list, tuple)) else [out]
            self._session.run(inputs, outputs, training)
            return out
        types = [dtype for _, dtype, _ in program.outputs]
        outputs = [
            np.empty(program._program.output_shape(inputs, i), _DTYPES[dtype])
            for i, dtype in enumerate(types)
        ]
        self._session.run(inputs, outputs, training)
        outputs = [_from_bits(array, dtype) for array, dtype in zip(outputs, types)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def prepare_training(self):
        """Compiles the variant that calls with training=True run, unless it is there.
        The first such call does so itself."""
        model, options = self._program._source or (None, None)
        if model is None:
            raise ValueError("a program without its model cannot be compiled for training")
        self._session.prepare_training(model._model, options)

    def set_seed(self, seed):
        """The next training call draws the masks of a first one with this seed."""
        self._session.set_seed(seed)

    def reset_dropout_mask(self):
        """New masks for a cell that is a model of its own; layers draw anew anyway."""
        self._session.reset_dropout_mask()

    def reset_recurrent_dropout_mask(self):
        self._session.reset_recurrent_dropout_mask()

    @property
    def states(self):
        """The states by name, as copies."""
        result = {}
        for index, (name, dtype, shape) in enumerate(self._program._program.states()):
            size = int(np.prod(shape)) * np.dtype(_DTYPES[dtype]).itemsize
            result[name] = _from_bytes(self._session.get_state(index, size), dtype, shape)
        return result

    def reset_states(self, states=None):
        """Zeros as state: a new sequence starts. Or these values, one array for each
        state of the layers."""
        if states is None:
            self._session.reset_states()
            return
        values = list(states) if isinstance(states, (list, tuple)) else [states]
        types = [dtype for _, dtype, _ in self._program._program.states()]
        # More or fewer values than states are refused below.
        types += types[-1:] * len(values)
        self._session.reset_states_to([_as_array(v, t) for v, t in zip(values, types)])

    def set_stream(self, stream):
        """Works in this CUDA stream (an integer such as
        torch.cuda.current_stream().cuda_stream); None: in its own. With outputs on
        the device a call may then return before they are ready in the stream."""
        self._session.set_stream(stream or 0)

    def save_state(self):
        """The state as bytes, for restore_state of a session of this program."""
        return self._session.save_state()

    def restore_state(self, state):
        self._session.restore_state(state)


class Program:
    """A model compiled for one batch size. Shared by threads; calling it uses a
    session of its own, whose state only stateful layers have."""

    def __init__(self, program, source=None):
        self._program = program
        # The model and the options that it was compiled from.
        self._source = source
        self._is_training = bool(source and source[1].get("training"))
        self.inputs = program.inputs()
        self.outputs = program.outputs()
        self._names = [name for name, _, _ in self.inputs]
        self._own = None

    @classmethod
    def load(cls, path):
        """A shared library that gru-opt --emit=shared has made."""
        return cls(_gru.Program.load(os.fspath(path)))

    def _bind(self, args, kwargs):
        """Positional and named arrays in the program's order."""
        if len(args) > len(self._names):
            raise TypeError(f"{len(args)} inputs, expected {len(self._names)}: {self._names}")
        given = dict(zip(self._names, args))
        for name, value in kwargs.items():
            if name not in self._names:
                raise TypeError(f"no input is called '{name}', expected {self._names}")
            if name in given:
                raise TypeError(f"input '{name}' is given twice")
            given[name] = value
        missing = [name for name in self._names if name not in given]
        if missing:
            raise TypeError(f"inputs are missing: {missing}")
        return [_as_array(given[name], dtype) for name, dtype, _ in self.inputs]

    def _longest(self, inputs):
        """The largest dimension that is open."""
        sizes = [
            size
            for array, (_, _, shape) in zip(inputs, self.inputs)
            for size, expected in zip(array.shape, shape)
            if expected < 0
        ]
        return max(sizes, default=1)

    def session(self, max_timesteps=1024):
        """A stream of its own, whose longest run has max_timesteps."""
        return Session(self, max_timesteps)

    def __call__(self, *args, training=False, out=None, **kwargs):
        """As Session.__call__."""
        inputs = self._bind(args, kwargs)
        longest = self._longest(inputs)
        if self._own is None or self._own._session.max_timesteps() < longest:
            state = self._own.save_state() if self._own else None
            # Twice as long, so that growing inputs do not make one each.
            self._own = self.session(max(1, 2 * longest))
            if state is not None:
                self._own.restore_state(state)
        return self._own(*args, training=training, out=out, **kwargs)

    def reset_states(self):
        if self._own:
            self._own.reset_states()


class Model:
    """A model with its weights."""

    def __init__(self, model):
        self._model = model
        self.inputs = model.inputs()
        self.outputs = model.outputs()
        self._programs = {}

    def compile(self, **options):
        """A program for one batch size. Options, all of which have defaults:

        batch=0            rows; 0: the model's own, else 1
        timesteps=0        0: decided by each call
        target="auto"      "cpu", "reference", "cudnn", "gpu", "halide"
        threads=1, mcpu="", require_backend=""
        weight_type=""     "bf16" stores float32 kernels so, "int8" multiplies bytes
        cache_dir=None     folder of compiled kernels; None: as the environment says,
                           "": none
        on_remark=None     called with each choice that is worth knowing, a string
        on_phase=None      called after each phase with its name and milliseconds
        profile=False      further outputs `profile:LAYER`: ticks, operations, bytes,
                           different bytes
        block_width=0, block_rows=0, halide_schedule="", allow_tf32=False,
        stop_after="", f64_outputs=False: see gru_compile_options in gru.h
        training=False     the variant whose dropout acts, for every call
        masks={}           dropout masks that are inputs of it: shapes by name
        activities=False   further outputs, for `losses`
        """
        return Program(self._model.compile(options), (self, options))

    @property
    def layers(self):
        """Names of the layers; also "bidirectional/forward", "rnn/cell0"."""
        return self._model.layers()

    def attribute(self, layer, name):
        """What Keras's layer has under this name: units, activation, states, ..."""
        return json.loads(self._model.attribute(layer, name))

    def get_initial_state(self, layer, inputs=None, batch_size=None, dtype=None):
        """Keras's method of the layer: a list of arrays of zeros [batch, units].
        inputs: an array whose first dimension is the batch. dtype: "f32", or a type
        of NumPy; else the layer's own."""
        shape = None if inputs is None else list(np.shape(inputs))
        if dtype is not None and dtype not in _DTYPES:
            names = {np.dtype(t): n for n, t in _DTYPES.items() if n != "bf16"}
            dtype = names.get(np.dtype(dtype), str(dtype))
        states = self._model.initial_state(layer, shape, batch_size or 0, dtype or "")
        return [_from_bytes(data, t, dims) for t, dims, data in states]

    @property
    def weights(self):
        """Copies of the weights by name."""
        return {
            name: _from_bytes(self._model.weight_data(index), dtype, dims)
            for index, (name, dtype, dims) in enumerate(self._model.weights())
        }

    def _weight(self, name):
        known = self._model.weights()
        for index, (weight, dtype, dims) in enumerate(known):
            if weight == name:
                return index, dtype, dims
        names = [weight for weight, _, _ in known]
        raise ValueError(f"no weight is called '{name}', expected one of {names}")

    def draw_weight(self, name, seed=0):
        """Values that the weight's initialiser draws."""
        index, dtype, dims = self._weight(name)
        size = int(np.prod(dims)) * np.dtype(_DTYPES[dtype]).itemsize
        return _from_bytes(self._model.draw_weight(index, seed, size), dtype, dims)

    def constrain_weight(self, name, values):
        """The values after the weight's constraint, if it has one."""
        index, dtype, dims = self._weight(name)
        data = self._model.constrain_weight(index, _as_array(values, dtype).tobytes())
        return _from_bytes(data, dtype, dims)

    def losses(self, activities=()):
        """Keras's `losses`. activities: the further outputs of a program compiled with
        activities=True, where layers have activity regularisers."""
        return self._model.losses([np.ascontiguousarray(array) for array in activities])

    def predict(self, *args, **kwargs):
        """Runs whatever batch the first input has; each new batch is compiled
        once, and so is each new length where the model cannot leave it open."""
        names = [name for name, _, _ in self.inputs]
        first = args[0] if args else kwargs.get(names[0])
        if first is None:
            raise TypeError(f"inputs are missing: {names}")
        shape = tuple(first.shape if hasattr(first, "shape") else np.shape(first))
        rank = len(self.inputs[0][2])
        if len(shape) != rank:
            raise ValueError(f"input '{names[0]}' has {len(shape)} dimensions, expected {rank}")
        batch = shape[self._model.batch_dim(0)]
        time = self._model.time_dim(0)
        timesteps = shape[time] if time >= 0 and self._model.needs_timesteps() else 0
        key = (batch, timesteps)
        if batch == 0:
            # A program has a row at least: one of zeros, which is cut off again.
            return self._predict_nothing(args, kwargs)
        if key not in self._programs:
            self._programs[key] = self.compile(batch=batch, timesteps=timesteps)
        program = self._programs[key]
        if program._program.states():
            program.reset_states()
        return program(*args, **kwargs)

    def _predict_nothing(self, args, kwargs):
        def with_a_row(index, value):
            shape = list(np.shape(value))
            dim = self._model.batch_dim(index)
            if 0 <= dim < len(shape):
                shape[dim] = 1
            return np.zeros(shape, np.asarray(value).dtype)

        names = [name for name, _, _ in self.inputs]
        outputs = self.predict(
            *(with_a_row(i, value) for i, value in enumerate(args)),
            **{n: with_a_row(names.index(n), v) for n, v in kwargs.items() if n in names},
        )
        if isinstance(outputs, tuple):
            return tuple(array[:0] for array in outputs)
        return outputs[:0]


class CellDropout:
    """The dropout masks of a Keras cell: drawn when first asked for, kept until they
    are reset, ones when not training."""

    def __init__(self, dropout=0.0, recurrent_dropout=0.0, seed=0):
        self._cell = _gru.CellDropout.create(dropout, recurrent_dropout, seed)

    @staticmethod
    def _masks(found):
        if found is None:
            return None
        count, shape, data = found
        masks = np.frombuffer(data, np.float32).reshape((count, *shape)).copy()
        return masks[0] if count == 1 else list(masks)

    def get_dropout_mask_for_cell(self, inputs, training, count=1):
        """A mask of the shape of inputs, or a list of count; None without dropout."""
        return self._masks(self._cell.get_mask(list(np.shape(inputs)), training, count))

    def get_recurrent_dropout_mask_for_cell(self, inputs, training, count=1):
        return self._masks(self._cell.get_recurrent_mask(list(np.shape(inputs)), training, count))

    def reset_dropout_mask(self):
        self._cell.reset_mask()

    def reset_recurrent_dropout_mask(self):
        self._cell.reset_recurrent_mask()


def load(path, weights=None, call_arguments=()):
    """Reads a model file; docs/formats.md lists the formats. call_arguments: of a file
    that has one layer or cell, what it is called with besides x: "initial_state",
    "mask", "state", "h0", "lengths"."""
    weights = os.fspath(weights) if weights else ""
    return Model(_gru.Model.load(os.fspath(path), weights, list(call_arguments)))
