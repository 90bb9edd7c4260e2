"""Models that live in another framework, by way of a file of that framework."""

import json
import os
import tempfile


def from_keras(model):
    """A compiled model's source from a Keras 3 or tf.keras model in memory."""
    from . import load

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        return load(path)


def _gru_options(module):
    return {
        "module": "GRU",
        "input_size": module.input_size,
        "hidden_size": module.hidden_size,
        "num_layers": module.num_layers,
        "bias": module.bias,
        "batch_first": module.batch_first,
        "bidirectional": module.bidirectional,
    }


def from_torch(module, sample=None):
    """A model from a torch.nn.Module: an nn.GRU by its weights; any other module
    by torch.onnx.export, which needs `sample`, a tensor or tuple of its inputs."""
    import torch

    from . import load

    with tempfile.TemporaryDirectory() as folder:
        if isinstance(module, torch.nn.GRU):
            weights = os.path.join(folder, "model.pt")
            config = os.path.join(folder, "model.json")
            torch.save(module.state_dict(), weights)
            with open(config, "w") as file:
                json.dump(_gru_options(module), file)
            return load(config, weights)
        if sample is None:
            raise TypeError("from_torch: needs `sample`, inputs to export this module with")
        path = os.path.join(folder, "model.onnx")
        inputs = sample if isinstance(sample, tuple) else (sample,)
        torch.onnx.export(module.eval(), inputs, path, dynamo=False)
        return load(path)
