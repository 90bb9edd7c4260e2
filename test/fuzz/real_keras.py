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
import shlex
import subprocess
import sys
import tempfile
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

sys.dont_write_bytecode = True
try:
    import keras_draws  # noqa: E402
    from keras_models import Case  # noqa: E402
except ImportError as missing:
    print(f"not run: {missing}")
    sys.exit(77)

# Of the output's magnitude; half types have fewer digits.
TOLERANCES = {
    "float32": (2e-5, 2e-4),
    "float64": (1e-9, 1e-8),
    "float16": (8e-3, 1.6e-2),
    "bfloat16": (6e-2, 6e-2),
}


def run_case(gru_run, K, version, seed, keep=None):
    """None where gru-run agrees with Keras, else what went wrong; the second
    value tells whether Keras itself refused the case."""
    import numpy as np

    case = Case(K, version, seed)
    K.utils.set_random_seed(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or scratch
        os.makedirs(folder, exist_ok=True)
        try:
            model = case.build()
            # Calls in training move the statistics that are saved.
            form, files = save(model, case, folder)
            calls, losses = call_keras(K, version, model, case)
        except Exception as error:  # Keras's own limits
            return None, f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"
        return run_gru(gru_run, case, form, files, calls, losses, folder, keep)


def call_keras(K, version, model, case):
    """The calls, each with its inputs and outputs, and the losses."""
    import numpy as np

    calls = []
    for number in range(3 if case.stateful else 1):
        values, masks = case.values(number), {}
        reset = number > 0 and case.flag(0.3)
        if reset:
            reset_states(model)
        inputs = [values[i[0]] for i in case.inputs]
        if len(inputs) == 1:
            inputs = inputs[0]
        if case.training:
            with keras_draws.record(K, version, model, masks):
                outputs = model(inputs, training=True)
        else:
            outputs = model(inputs, training=False)
        calls.append((reset, {**values, **masks}, flatten(outputs)))
    losses = [float(np.asarray(K.backend.get_value(l) if version == 2 else l, "float64"))
              for l in model.losses]
    return calls, losses


def run_gru(gru_run, case, form, files, calls, losses, folder, keep):
    """Runs both targets on what Keras ran, and compares."""
    import numpy as np

    atol, rtol = TOLERANCES[case.compute]
    arguments = files + ["--losses", "--atol", str(atol), "--rtol", str(rtol)]
    if case.training:
        arguments.append("--training")
    for number, (reset, values, outputs) in enumerate(calls):
        if number:
            arguments += ["--next-call"] + ["--reset-states"] * reset
        for name, value in values.items():
            path = os.path.join(folder, f"in{number}_{name.replace('/', '_')}.npy")
            np.save(path, value)
            arguments += ["--input", f"{name}={path}"]
        for index, output in enumerate(outputs):
            output = np.asarray(output).astype("float64")
            if not np.isfinite(output).all() or (output.size and abs(output).max() > 1e4):
                return None, "Keras's own numbers grow without bound"
            path = os.path.join(folder, f"out{number}_{index}.npy")
            np.save(path, output)
            arguments += ["--expected", f"output_{index}={path}"]
    total = float(sum(losses))
    # Keras keeps some factors as float32, also where the losses are float64.
    if np.isfinite(total) and case.compute == "float32" and len(calls) == 1:
        np.save(os.path.join(folder, "losses.npy"), np.asarray(losses, "float64"))
        arguments += ["--expected", f"losses={folder}/losses.npy"]
    for target in ("cpu", "reference"):
        command = [gru_run, arguments[0], "--target", target] + arguments[1:]
        if keep:
            print(shlex.join(command))
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            text = (done.stdout + done.stderr).strip().splitlines()
            worst = [line for line in text if "not within" in line]
            return (f"{target}: " + " | ".join(worst[:2] + text[-1:]) + "\n    "
                    + "; ".join([case.policy, form] + ["training"] * case.training + case.notes)), None
    return None, None


def flatten(outputs):
    if isinstance(outputs, (list, tuple)):
        return [leaf for output in outputs for leaf in flatten(output)]
    return [outputs]


def reset_states(model):
    for layer in model.layers:
        if getattr(layer, "stateful", False) and hasattr(layer, "reset_states"):
            layer.reset_states()


def save(model, case, folder):
    """Writes the model in one of its forms; returns the form's name, and what
    gru-run needs to read it."""
    forms = ["keras", "keras", "h5", "h5", "json"]
    if case.version == 2:
        forms.append("cudnn")
    form = case.pick(forms)
    path = os.path.join(folder, "model." + {"cudnn": "h5"}.get(form, form))
    if form == "json":
        with open(path, "w") as file:
            file.write(model.to_json())
        weights = os.path.join(folder, "model.weights.h5")
        model.save_weights(weights)
        return form, [path, "--weights", weights]
    model.save(path)
    if form == "cudnn":
        form = f"h5 with {to_cudnn(path)} CuDNNGRU"
    return form, [path]


def to_cudnn(path):
    """Turns the GRUs of a Keras 2 file that cuDNN computes alike into CuDNNGRU
    layers, which only run on a GPU; returns how many."""
    import json

    import h5py
    from tf_keras.src.saving.legacy import hdf5_format

    class CuDNNGRU:
        pass

    kept = """name trainable batch_input_shape dtype return_sequences return_state go_backwards
        stateful units kernel_initializer recurrent_initializer bias_initializer kernel_regularizer
        recurrent_regularizer bias_regularizer activity_regularizer kernel_constraint
        recurrent_constraint bias_constraint""".split()
    def convert(layer):
        c = layer["config"]
        if layer["class_name"] != "GRU" or not (
                c["activation"] == "tanh" and c["recurrent_activation"] == "sigmoid"
                and c["use_bias"] and c["reset_after"] and not c.get("time_major")
                and not c.get("zero_output_for_mask")):
            return False
        layer["class_name"] = "CuDNNGRU"
        layer["config"] = {key: c[key] for key in kept if key in c}
        return True

    count = 0
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            # The weights of a Bidirectional are those of both directions.
            inner = [layer["config"].get(key) for key in ("layer", "backward_layer")]
            parts = [part for part in inner if part] if layer["class_name"] == "Bidirectional" else [layer]
            halves = 2 if layer["class_name"] == "Bidirectional" else 1
            converted = [convert(part) for part in parts]
            if not any(converted):
                continue
            if len(converted) < halves:
                converted *= 2
            group = file["model_weights"][layer["config"]["name"]]
            names = [n.decode() if isinstance(n, bytes) else n for n in group.attrs["weight_names"]]
            for half in range(halves):
                if not converted[half]:
                    continue
                part = names[:3] if half == 0 else names[-3:]
                weights = hdf5_format._convert_rnn_weights(CuDNNGRU(), [group[n][()] for n in part])
                for name, weight in zip(part, weights):
                    del group[name]
                    group[name] = weight
                count += 1
        file.attrs["model_config"] = json.dumps(config)
    return count


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
