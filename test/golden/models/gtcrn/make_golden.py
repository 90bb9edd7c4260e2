#!/usr/bin/env python3
"""Makes case.json, data.npz, noisy.wav and clean.wav.

    make_golden.py mix.wav enh_stream.wav

The two files are upstream's sound and its own streaming result. The case is frame
60 with the state that ONNX Runtime reaches there, and what it makes of it in
float32. Needs numpy and onnxruntime.
"""

import json
import os
import sys
import wave

import numpy as np
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES, FRAME = 40960, 60
CACHES = {
    "conv_cache": (2, 1, 16, 16, 33),
    "tra_cache": (2, 3, 1, 1, 16),
    "inter_cache": (2, 1, 33, 16),
}


def cut(source, target):
    with wave.open(source) as read, wave.open(os.path.join(HERE, target), "wb") as write:
        write.setparams(read.getparams())
        frames = read.readframes(SAMPLES)
        write.writeframes(frames)
    return np.frombuffer(frames, np.int16).astype(np.float32) / 32768


def main():
    sound = np.concatenate([np.zeros(256, np.float32), cut(sys.argv[1], "noisy.wav")])
    cut(sys.argv[2], "clean.wav")
    session = onnxruntime.InferenceSession(os.path.join(HERE, "model.onnx"))
    window = np.sqrt(np.hanning(513)[:512]).astype(np.float32)
    state = {name: np.zeros(shape, np.float32) for name, shape in CACHES.items()}
    for frame in range(FRAME + 1):
        spectrum = np.fft.rfft(sound[frame * 256 : frame * 256 + 512] * window)
        mix = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)
        inputs = {"mix": mix[None, :, None, :], **state}
        outputs = session.run(None, inputs)
        state = dict(zip(CACHES, outputs[1:]))
    names = [output.name for output in session.get_outputs()]
    np.savez_compressed(os.path.join(HERE, "data.npz"), **inputs, **dict(zip(names, outputs)))
    case = {
        "name": "gtcrn",
        "format": "onnx",
        "kind": "inference",
        "compute_dtype": "float32",
        "model": "model.onnx",
        "tolerance": {"against": "onnxruntime in float32", "atol": 5e-5, "rtol": 1e-3},
        "calls": [
            {
                "inputs": [
                    {"name": name, "role": "input", "file": f"data.npz:{name}"} for name in inputs
                ],
                "outputs": [{"name": name, "file_f64": f"data.npz:{name}"} for name in names],
                "training": False,
                "reset_states_before": False,
            }
        ],
    }
    with open(os.path.join(HERE, "case.json"), "w") as file:
        json.dump(case, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
