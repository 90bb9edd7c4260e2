#!/usr/bin/env python3
"""Random ONNX models: gru-run against ONNX Runtime.

Needs the packages onnx, onnxruntime and numpy. Each case is made from its seed
alone; one that fails prints the line that runs it again:

    onnx_random.py --gru-run build/bin/gru-run --kind gru --seed 17 --count 1

Kinds: gru (one GRU node with random attributes and inputs), stack (exporters'
idioms around several GRU nodes), conv (convolutions and poolings), move (shapes,
slices, gathers, pads), math (elementwise operators, reductions, products). What
ONNX Runtime cannot run (layout 1, float64 GRU) is left to the golden cases.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"not run: {missing}")
    sys.exit(77)


class Model:
    """A graph under construction, with the values that flow through it."""

    def __init__(self, rng):
        self.rng = rng
        self.numpy = np.random.default_rng(rng.getrandbits(32))
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.feeds = {}
        self.count = 0

    def name(self, prefix="v"):
        self.count += 1
        return f"{prefix}{self.count}"

    def values(self, shape, scale=1.0):
        return (self.numpy.standard_normal(shape) * scale).astype(np.float32)

    def input(self, shape, scale=1.0, dims=None):
        name = self.name("in")
        self.inputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, dims or shape)
        )
        self.feeds[name] = self.values(shape, scale)
        return name

    def integers(self, values, dtype=np.int64):
        name = self.name("int")
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def weight(self, shape, scale=0.5, positive=False):
        name = self.name("w")
        values = self.values(shape, scale)
        if positive:
            values = np.abs(values) + np.float32(0.1)
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def add(self, op, inputs, outputs=1, **attributes):
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def output(self, name):
        # Outputs have names of their own, whoever else uses the value.
        result = self.name("out")
        self.nodes.append(helper.make_node("Identity", [name], [result]))
        self.outputs.append(helper.make_empty_tensor_value_info(result))

    def build(self, opset):
        graph = helper.make_graph(
            self.nodes, "random", self.inputs, self.outputs, self.initializers
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )
        # Outputs need types; shapes are inferred.
        return onnx.shape_inference.infer_shapes(model)


def add_gru(m, x, batch, features, units, time, fancy=True):
    rng = m.rng
    direction = rng.choice(["forward", "reverse", "bidirectional"])
    directions = 2 if direction == "bidirectional" else 1
    inputs = [
        x,
        m.weight((directions, 3 * units, features)),
        m.weight((directions, 3 * units, units)),
        m.weight((directions, 6 * units)) if rng.random() < 0.8 else "",
        "",
        "",
    ]
    attributes = {
        "hidden_size": units,
        "direction": direction,
        "linear_before_reset": rng.randint(0, 1),
    }
    if fancy and rng.random() < 0.4:
        lengths = m.name("lens")
        values = np.array([rng.randint(0, time) for _ in range(batch)], np.int32)
        if rng.random() < 0.3:
            m.initializers.append(numpy_helper.from_array(values, lengths))
        else:
            m.inputs.append(
                helper.make_tensor_value_info(lengths, TensorProto.INT32, [batch])
            )
            m.feeds[lengths] = values
        inputs[4] = lengths
    if rng.random() < 0.5:
        inputs[5] = m.input((directions, batch, units))
    if fancy and rng.random() < 0.3:
        attributes["clip"] = rng.choice([0.3, 1.0, 2.5])
    if fancy and rng.random() < 0.5:
        takes = {
            "Relu": 0, "Tanh": 0, "Sigmoid": 0, "Affine": 3, "LeakyRelu": 1,
            "ThresholdedRelu": 1, "ScaledTanh": 3, "HardSigmoid": 3, "Elu": 1,
            "Softsign": 0, "Softplus": 0,
        }
        gates = ["Sigmoid", "HardSigmoid", "Tanh", "Softsign"]
        names, alphas, betas = [], [], []
        for _ in range(directions):
            names += [rng.choice(gates), rng.choice(sorted(takes))]
        for name in names:
            if takes[name] & 1:
                alphas.append(round(rng.uniform(0.1, 0.9), 2))
            if takes[name] & 2:
                betas.append(round(rng.uniform(0.1, 0.9), 2))
        attributes["activations"] = names
        if alphas:
            attributes["activation_alpha"] = alphas
        if betas:
            attributes["activation_beta"] = betas
    while inputs[-1] == "":
        inputs.pop()
    return m.add("GRU", inputs, 2, **attributes), directions


def make_gru(m):
    rng = m.rng
    time, batch = rng.randint(1, 9), rng.randint(1, 5)
    features, units = rng.randint(1, 20), rng.choice([1, 2, 5, 8, 16, 17, 33])
    (y, y_h), _ = add_gru(m, m.input((time, batch, features)), batch, features, units, time)
    m.output(y)
    m.output(y_h)
    return rng.choice([7, 14, 17, 21])


def make_stack(m):
    """Layers as torch and tf2onnx write them, batch first, with a head."""
    rng = m.rng
    time, batch = rng.randint(1, 7), rng.randint(1, 4)
    features, units = rng.randint(1, 8), rng.choice([1, 3, 4, 8, 17])
    dims = None
    if rng.random() < 0.5:
        dims = ["batch", rng.choice(["time", time]), features]
    x = m.input((batch, time, features), dims=dims)
    value = m.add("Transpose", [x], perm=[1, 0, 2])
    for _ in range(rng.randint(1, 3)):
        (y, y_h), directions = add_gru(m, value, batch, features, units, time, fancy=False)
        if dims:
            # A state of a fixed batch does not go with an open one.
            node = m.nodes[-1]
            if len(node.input) > 5:
                state = node.input[5]
                del node.input[4:]
                m.inputs = [i for i in m.inputs if i.name != state]
                del m.feeds[state]
                if node.input[-1] == "":
                    del node.input[-1]
        value = m.add("Transpose", [y], perm=[0, 2, 1, 3])
        value = m.add("Reshape", [value, m.integers([0, 0, -1])])
        features = units * directions
        if rng.random() < 0.3:
            value = m.add(
                "LayerNormalization", [value, m.weight((features,)), m.weight((features,))],
                axis=-1,
            )
    value = m.add("Transpose", [value], perm=[1, 0, 2])
    head = rng.choice(["none", "last", "dense", "squeeze"])
    if head == "last":
        value = m.add("Gather", [value, m.integers(-1)], axis=1)
        value = m.add(
            "Gemm", [value, m.weight((4, features)), m.weight((4,))], transB=1
        )
        value = m.add("Softmax", [value], axis=-1)
    elif head == "dense":
        value = m.add("MatMul", [value, m.weight((features, 3))])
        value = m.add("Add", [m.weight((3,)), value])
        value = m.add(rng.choice(["Relu", "Sigmoid", "Elu"]), [value])
    elif head == "squeeze":
        value = m.add("ReduceMean", [value], axes=[2], keepdims=1)
        value = m.add("Squeeze", [value, m.integers([2])])
    m.output(value)
    m.output(y_h)
    return 17


def make_conv(m):
    rng = m.rng
    space = rng.choice([1, 2])
    batch, groups = rng.randint(1, 2), rng.choice([1, 1, 2, 3])
    channels, filters = groups * rng.randint(1, 4), groups * rng.randint(1, 4)
    size = [rng.randint(1, 3) for _ in range(space)]
    shape = [rng.randint(6, 40) for _ in range(space)]
    x = m.input((batch, channels, *shape))
    op = rng.choice(["Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool"])
    attributes = {
        "strides": [rng.randint(1, 3) for _ in range(space)],
        "pads": [rng.randint(0, n - 1) for n in size + size],
    }
    if op in ("Conv", "ConvTranspose"):
        attributes["dilations"] = [rng.randint(1, 2) for _ in range(space)]
        if op == "Conv" and rng.random() < 0.2:
            del attributes["pads"], attributes["dilations"]
            attributes["auto_pad"] = rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])
        if op == "ConvTranspose" and rng.random() < 0.3:
            attributes["output_padding"] = [
                rng.randint(0, s - 1) for s in attributes["strides"]
            ]
        w = (
            (filters, channels // groups, *size)
            if op == "Conv"
            else (channels, filters // groups, *size)
        )
        inputs = [x, m.weight(w)]
        if rng.random() < 0.6:
            inputs.append(m.weight((filters,)))
        value = m.add(op, inputs, group=groups, **attributes)
        if rng.random() < 0.5:
            value = m.add(
                "BatchNormalization",
                [value, m.weight((filters,)), m.weight((filters,)), m.weight((filters,)),
                 m.weight((filters,), positive=True)],
            )
        if rng.random() < 0.5:
            value = m.add("PRelu", [value, m.weight((filters,) + (1,) * space)])
    elif op == "GlobalAveragePool":
        value = m.add(op, [x])
    else:
        attributes["kernel_shape"] = size
        if rng.random() < 0.3:
            attributes["ceil_mode"] = 1
        if op == "AveragePool" and rng.random() < 0.5:
            attributes["count_include_pad"] = 1
        value = m.add(op, [x], **attributes)
    m.output(value)
    return 17


def make_move(m):
    rng = m.rng
    shape = [rng.randint(1, 5) for _ in range(rng.randint(2, 4))]
    value = m.input(tuple(shape))
    for _ in range(rng.randint(1, 6)):
        op = rng.choice(["Transpose", "Slice", "Gather", "Pad", "Split", "Reshape",
                         "Unsqueeze", "Concat", "Expand", "Tile", "ScatterND", "Flatten",
                         "Unfold", "ReverseSequence"])
        rank = len(shape)
        axis = rng.randrange(rank)
        if op == "Transpose":
            order = rng.sample(range(rank), rank)
            value, shape = m.add(op, [value], perm=order), [shape[i] for i in order]
        elif op == "Slice":
            step = rng.choice([1, 1, 2, -1, -2])
            n = shape[axis]
            first, last = sorted([rng.randrange(n), rng.randrange(n)])
            if step < 0:
                start, end = last, (first - 1 if first else -n - 5)
            else:
                start, end = first, (last + 1 if rng.random() < 0.7 else 2**63 - 1)
            if rng.random() < 0.3:
                start -= n
            shape[axis] = len(range(n)[slice(start, end if end > -n - 1 else None, step)])
            value = m.add(op, [value, m.integers([start]), m.integers([end]),
                               m.integers([axis]), m.integers([step])])
        elif op == "Gather":
            count = rng.randint(0, 3)
            index = [rng.randrange(-shape[axis], shape[axis]) for _ in range(max(count, 1))]
            if count == 0:
                if rank < 3:
                    continue
                value = m.add(op, [value, m.integers(index[0])], axis=axis)
                del shape[axis]
            else:
                value = m.add(op, [value, m.integers(index)], axis=axis)
                shape[axis] = count
        elif op == "Pad":
            mode = rng.choice(["constant", "reflect", "edge"])
            pads = [rng.randint(0, 2) for _ in range(2 * rank)]
            if mode == "reflect":
                pads = [min(p, shape[i % rank] - 1) for i, p in enumerate(pads)]
            inputs = [value, m.integers(pads)]
            value = m.add(op, inputs, mode=mode)
            shape = [s + pads[i] + pads[rank + i] for i, s in enumerate(shape)]
        elif op == "Split":
            if shape[axis] < 2:
                continue
            first = rng.randint(1, shape[axis] - 1)
            parts = [first, shape[axis] - first]
            a, b = m.add(op, [value, m.integers(parts)], 2, axis=axis)
            m.output(a)
            value, shape[axis] = b, parts[1]
        elif op == "Reshape":
            total = int(np.prod(shape))
            divisor = rng.choice([d for d in range(1, total + 1) if total % d == 0])
            value = m.add(op, [value, m.integers([divisor, -1])])
            shape = [divisor, total // divisor]
        elif op == "Unsqueeze":
            if rank > 4:
                continue
            value = m.add(op, [value, m.integers([axis])])
            shape.insert(axis, 1)
        elif op == "Concat":
            other = m.weight(tuple(shape))
            value = m.add(op, [value, other, value], axis=axis)
            shape[axis] *= 3
        elif op == "Expand":
            if rank > 4:
                continue
            value = m.add(op, [value, m.integers([2] + [1] * rank)])
            shape.insert(0, 2)
        elif op == "Tile":
            repeats = [rng.randint(1, 2) for _ in shape]
            value = m.add(op, [value, m.integers(repeats)])
            shape = [s * r for s, r in zip(shape, repeats)]
        elif op == "Unfold":
            # Regular indices, as exporters write a window that moves.
            if rank > 4:
                continue
            rows, columns = rng.randint(1, 3), rng.randint(1, 4)
            far = shape[axis] - 1
            along, across = rng.randint(0, 2), rng.randint(0, 2)
            first = far - (rows - 1) * along - (columns - 1) * across
            if first < 0:
                continue
            first = rng.randint(0, first)
            index = [[first + i * along + j * across for j in range(columns)]
                     for i in range(rows)]
            value = m.add("Gather", [value, m.integers(index)], axis=axis)
            shape[axis : axis + 1] = [rows, columns]
        elif op == "ReverseSequence":
            time = rng.randint(0, 1)
            lengths = [rng.randint(1, shape[time]) for _ in range(shape[1 - time])]
            value = m.add(op, [value, m.integers(lengths)], time_axis=time,
                          batch_axis=1 - time)
        elif op == "ScatterND":
            written = tuple(shape[: rng.randint(1, rank)])
            count = int(np.prod(written))
            rows = rng.sample(range(count), rng.randint(1, count))
            places = [[int(i) for i in np.unravel_index(row, written)] for row in rows]
            updates = m.weight((len(rows), *shape[len(written) :]))
            value = m.add(op, [value, m.integers(places), updates])
        else:
            axis = rng.randint(0, rank)
            value = m.add(op, [value], axis=axis)
            shape = [int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))]
        if np.prod(shape) > 5000 or 0 in shape:
            break
    m.output(value)
    return 17


def make_math(m):
    rng = m.rng
    shape = tuple(rng.randint(1, 20) for _ in range(rng.randint(1, 4)))
    value = m.input(shape)
    # What one bit decides: not of what ends at a whole number, which ONNX Runtime
    # reaches earlier.
    steps = ["Floor", "Ceil", "Sign", "Round"]
    saturates = False
    for _ in range(rng.randint(1, 6)):
        op = rng.choice(["unary", "binary", "scalar", "reduce", "matmul", "softmax",
                         "where", "power", "norm", "logic", "gram", "batchnorm"])
        if op == "unary":
            names = ["Sigmoid", "Tanh", "Relu", "LeakyRelu", "Elu", "Softplus",
                     "Softsign", "HardSigmoid", "Abs", "Neg", "Erf", "Celu",
                     "HardSwish", "Selu"]
            name = rng.choice(names if saturates else names + steps)
            saturates |= name in ("Sigmoid", "Tanh", "Softsign", "Erf", "Elu", "Celu",
                                  "Selu")
            value = m.add(name, [value])
        elif op == "binary":
            other = tuple(s if rng.random() < 0.7 else 1 for s in shape)
            other = m.weight(other[rng.randint(0, len(other) - 1):])
            inputs = [value, other]
            if rng.random() < 0.3:
                inputs.reverse()
            value = m.add(rng.choice(["Add", "Sub", "Mul", "Max", "Min"]), inputs)
        elif op == "scalar":
            value = m.add(rng.choice(["Add", "Mul", "Div", "Sub"]), [value, m.weight((1,))])
        elif op == "reduce":
            axis = rng.randrange(len(shape))
            name = rng.choice(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2",
                               "ReduceL1", "ReduceProd"])
            value = m.add(name, [value], axes=[axis], keepdims=1)
            shape = tuple(1 if i == axis else s for i, s in enumerate(shape))
        elif op == "matmul":
            width = rng.randint(1, 40)
            value = m.add("MatMul", [value, m.weight((shape[-1], width), 0.3)])
            shape = (*shape[:-1], width)
        elif op == "softmax":
            value = m.add("Softmax", [value], axis=rng.randrange(-len(shape), len(shape)))
        elif op == "where":
            other = m.weight(shape)
            condition = m.add(rng.choice(["Less", "Greater", "LessOrEqual"]), [value, other])
            value = m.add("Where", [condition, value, m.add("Neg", [other])])
        elif op == "logic":
            other = m.weight(shape)
            a = m.add("Less", [value, other])
            b = m.add("Equal", [value, m.add("Abs", [value])])
            condition = m.add(rng.choice(["And", "Or", "Xor"]), [a, m.add("Not", [b])])
            value = m.add("Where", [condition, value, other])
        elif op == "gram":
            # A product of two values, neither of them a weight.
            if len(shape) < 2:
                continue
            order = list(range(len(shape)))
            order[-2:] = order[:-3:-1]
            value = m.add("MatMul", [value, m.add("Transpose", [value], perm=order)])
            value = m.add("Tanh", [value])
            shape = (*shape[:-1], shape[-2])
        elif op == "batchnorm":
            if len(shape) < 2:
                continue
            channels = (shape[1],)
            value = m.add("BatchNormalization", [
                value, m.weight(channels), m.weight(channels), m.weight(channels),
                m.weight(channels, positive=True)])
        elif op == "power":
            exponent = rng.choice([2.0, 3.0, 0.5, 1.0])
            name = m.name("e")
            m.initializers.append(numpy_helper.from_array(np.float32(exponent), name))
            value = m.add("Pow", [m.add("Abs", [value]), name])
        else:
            scale, bias = m.weight(shape[-1:]), m.weight(shape[-1:])
            value = m.add("LayerNormalization", [value, scale, bias], axis=-1,
                          epsilon=1e-2)
    m.output(value)
    return 17


KINDS = {"gru": make_gru, "stack": make_stack, "conv": make_conv, "move": make_move,
         "math": make_math}


def run(kind, seed, gru_run, targets, folder, keep):
    """An error text, "" where all agrees, None where ONNX Runtime refuses."""
    m = Model(random.Random(f"{kind} {seed}"))
    opset = KINDS[kind](m)
    model = m.build(opset)
    path = os.path.join(folder, f"{kind}_{seed}.onnx")
    onnx.save(model, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        expected = session.run(names, m.feeds)
    except Exception:  # The random model may be invalid.
        return None
    arguments = []
    for name, array in m.feeds.items():
        file = os.path.join(folder, f"{name}.npy")
        np.save(file, array)
        arguments += ["--input", f"{name}={file}"]
    for name, array in zip(names, expected):
        file = os.path.join(folder, f"{name}.npy")
        np.save(file, array)
        arguments += ["--expected", f"{name}={file}"]
    # Its Softplus overflows, exp(x) first.
    if any(np.isnan(array).any() for array in expected):
        return None
    # Activations without a bound let states grow, and both sides' rounding errors
    # with the largest of them: ONNX Runtime is as far from float64 as we are.
    largest = max((np.abs(array).max() for array in expected if array.size), default=0)
    atol = repr(2e-4 * max(1.0, float(largest)))
    for target in targets:
        command = [gru_run, path, "--target", target, "--atol", atol, "--rtol", "2e-4"]
        done = subprocess.run(command + arguments, capture_output=True, text=True)
        if done.returncode:
            return f"{target}: {done.stdout}{done.stderr}exit code {done.returncode}"
    if not keep:
        os.remove(path)
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gru-run", required=True)
    parser.add_argument("--kind", choices=sorted(KINDS), help="default: all in turn")
    parser.add_argument("--seed", type=int, default=1, help="of the first case")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--target", action="append", choices=["cpu", "reference"])
    parser.add_argument("--keep", metavar="DIR", help="where to leave the models")
    arguments = parser.parse_args()
    kinds = [arguments.kind] if arguments.kind else sorted(KINDS)
    failures = skipped = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or scratch
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            for kind in kinds:
                text = run(kind, seed, arguments.gru_run,
                           arguments.target or ["cpu", "reference"], folder,
                           arguments.keep)
                if text is None:
                    skipped += 1
                elif text:
                    failures += 1
                    print(f"{sys.argv[0]} --gru-run {arguments.gru_run} --kind {kind} "
                          f"--seed {seed} --count 1\n{text}")
    total = arguments.count * len(kinds)
    print(f"{total} cases, {failures} failed, {skipped} not run by ONNX Runtime")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
