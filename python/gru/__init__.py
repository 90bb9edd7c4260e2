"""Compiles GRU networks to native code.

    import gru
    model = gru.load("denoise.keras")
    program = model.compile(batch=1)
    y = program(x)                      # NumPy arrays, or what speaks DLPack

Arrays are given in the model's order or by name. The result is one array, or a
tuple of them where the model has several outputs.
"""

import os

import numpy as np

from . import _gru
from .frameworks import from_keras, from_torch

__all__ = ["Model", "Program", "Session", "from_keras", "from_torch", "load"]

_DTYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "bool": np.bool_,
    "i32": np.int32,
    "i64": np.int64,
}


def _dtype(name):
    if name not in _DTYPES:
        raise TypeError(f"NumPy has no {name}; compile a model with other types")
    return np.dtype(_DTYPES[name])


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
        value = np.from_dlpack(value)
    return np.ascontiguousarray(np.asarray(value).astype(dtype, casting="same_kind", copy=False))


class Session:
    """The state of one stream. Used by one thread at a time."""

    def __init__(self, program, max_timesteps):
        self._program = program
        self._session = program._program.session(max_timesteps)

    def __call__(self, *args, out=None, **kwargs):
        """Reads the inputs, advances the state, returns the outputs: those of `out`,
        dense arrays in the model's order that are written, or new NumPy arrays.

        Programs for a GPU take arrays on the device, inputs and `out` alike, if they
        speak DLPack. They are used in the order of the session's stream, see
        set_stream; without one they have to be ready before the call, and outputs are
        ready after it."""
        program = self._program
        inputs = program._bind(args, kwargs)
        if out is None:
            outputs = [
                np.empty(program._program.output_shape(inputs, i), dtype)
                for i, dtype in enumerate(program._output_types)
            ]
        else:
            outputs = list(out) if isinstance(out, (list, tuple)) else [out]
        self._session.run(inputs, outputs)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def set_stream(self, stream):
        """Works in this CUDA stream (an integer such as
        torch.cuda.current_stream().cuda_stream); None: in its own. With outputs on
        the device a call may then return before they are ready in the stream."""
        self._session.set_stream(stream or 0)

    def reset_states(self):
        """Zeros as state: a new sequence starts."""
        self._session.reset_states()

    def save_state(self):
        """The state as bytes, for restore_state of a session of this program."""
        return self._session.save_state()

    def restore_state(self, state):
        self._session.restore_state(state)


class Program:
    """A model compiled for one batch size. Shared by threads; calling it uses a
    session of its own, whose state only stateful layers have."""

    def __init__(self, program):
        self._program = program
        self.inputs = program.inputs()
        self.outputs = program.outputs()
        self._names = [name for name, _, _ in self.inputs]
        self._input_types = [_dtype(dtype) for _, dtype, _ in self.inputs]
        self._output_types = [_dtype(dtype) for _, dtype, _ in self.outputs]
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
        return [_as_array(given[n], t) for n, t in zip(self._names, self._input_types)]

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

    def __call__(self, *args, out=None, **kwargs):
        inputs = self._bind(args, kwargs)
        longest = self._longest(inputs)
        if self._own is None or self._own._session.max_timesteps() < longest:
            state = self._own.save_state() if self._own else None
            # Twice as long, so that growing inputs do not make one each.
            self._own = self.session(max(1, 2 * longest))
            if state is not None:
                self._own.restore_state(state)
        return self._own(*inputs, out=out)

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

    def compile(self, batch=0, timesteps=0, target="auto", mcpu="", threads=1,
                weight_type=""):
        """A program for one batch size (0: the model's own, else 1). timesteps
        stay open unless they are given. weight_type: "bf16" or "int8" stores
        float32 kernels in fewer bytes."""
        return Program(self._model.compile(batch, timesteps, target, mcpu, threads,
                                           weight_type))

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
        if key not in self._programs:
            self._programs[key] = self.compile(batch=batch, timesteps=timesteps)
        program = self._programs[key]
        if program._program.states():
            program.reset_states()
        return program(*args, **kwargs)


def load(path, weights=None):
    """Reads a model file; docs/formats.md lists the formats."""
    return Model(_gru.Model.load(os.fspath(path), os.fspath(weights) if weights else ""))
