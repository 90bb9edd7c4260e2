"""The bindings, against stored results of Keras; live frameworks where there are
any."""

import os
import unittest

import numpy as np

import gru

DATA = os.environ["GRU_TEST_DATA"]


def data(*parts):
    return os.path.join(DATA, *parts)


class Load(unittest.TestCase):
    def setUp(self):
        self.folder = data("keras", "act_tanh")
        self.model = gru.load(os.path.join(self.folder, "model.keras"))
        self.x = np.load(os.path.join(self.folder, "c0_in_x.npy"))
        self.expected = np.load(os.path.join(self.folder, "c0_out_output_0.f64.npy"))

    def close(self, found, expected=None):
        np.testing.assert_allclose(
            found, self.expected if expected is None else expected, atol=1e-5, rtol=1e-4
        )

    def test_call(self):
        program = self.model.compile(batch=self.x.shape[0])
        self.close(program(self.x))
        self.close(program(x=self.x))
        self.assertEqual(program(self.x).dtype, np.float32)
        self.assertEqual(program.inputs, [("x", "f32", (self.x.shape[0], -1, 4))])

    def test_layouts_and_types(self):
        program = self.model.compile(batch=self.x.shape[0])
        self.close(program(np.asfortranarray(self.x)))
        self.close(program(self.x.astype(np.float64)))
        self.close(program(self.x.tolist()))
        with self.assertRaises(TypeError):
            program(self.x.astype(np.complex64))

    def test_weight_type(self):
        program = self.model.compile(batch=self.x.shape[0], weight_type="int8")
        found = program(self.x)
        np.testing.assert_allclose(found, self.expected, atol=2e-2)
        self.assertGreater(np.abs(found - self.expected).max(), 1e-5)

    def test_predict_changes_batch_and_length(self):
        for batch in (1, 2, 5, 2):
            for steps in (3, 7):
                x = np.random.default_rng(batch * 10 + steps).normal(size=(batch, steps, 4))
                y = self.model.predict(x)
                self.assertEqual(y.shape[:2], (batch, steps))
                one = self.model.predict(x[-1:])
                self.close(y[-1:], one)
        self.assertEqual(len(self.model._programs), 3)

    def test_errors(self):
        with self.assertRaisesRegex(ValueError, "no-such.keras"):
            gru.load("no-such.keras")
        with self.assertRaisesRegex(ValueError, "target: is 'tpu'"):
            self.model.compile(target="tpu")
        program = self.model.compile(batch=2)
        with self.assertRaisesRegex(ValueError, "wrong batch, found 3"):
            program(np.zeros((3, 4, 4)))
        with self.assertRaisesRegex(ValueError, "wrong shape"):
            program(np.zeros((2, 4)))
        with self.assertRaisesRegex(TypeError, "no input is called 'y'"):
            program(y=self.x)
        with self.assertRaisesRegex(TypeError, "inputs are missing"):
            program()


class Stateful(unittest.TestCase):
    def test_session(self):
        model = gru.load(data("keras", "stateful_mask", "model.keras"))
        program = model.compile()
        x = np.random.default_rng(0).normal(size=(3, 6, 3)).astype(np.float32)
        mask = np.ones((3, 6), bool)
        whole = program.session(6)(x, mask)
        parts = program.session(2)
        y = [parts(x[:, t : t + 2], mask[:, t : t + 2]) for t in (0, 2)]
        state = parts.save_state()
        y.append(parts(x[:, 4:], mask[:, 4:]))
        np.testing.assert_array_equal(np.concatenate(y, axis=1), whole)
        parts.restore_state(state)
        np.testing.assert_array_equal(parts(x[:, 4:], mask[:, 4:]), y[-1])
        parts.reset_states()
        np.testing.assert_array_equal(parts(x[:, :2], mask[:, :2]), y[0])
        with self.assertRaisesRegex(ValueError, "max_timesteps"):
            parts(x, mask)
        # A program's own session grows without losing its state.
        np.testing.assert_array_equal(program(x[:, :2], mask[:, :2]), y[0])
        np.testing.assert_array_equal(program(x[:, 2:], mask[:, 2:]), whole[:, 2:])


class SeveralOutputs(unittest.TestCase):
    def test_rnnoise(self):
        stored = np.load(data("models", "rnnoise", "bd", "inputs.npz"))
        expected = np.load(data("models", "rnnoise", "bd", "expected_f64.npz"))
        program = gru.load(data("models", "rnnoise", "bd", "model.hdf5")).compile(batch=1)
        gains, speech = program(stored["main_input"])
        np.testing.assert_allclose(gains, expected["denoise_output"], atol=1e-5)
        np.testing.assert_allclose(speech, expected["vad_output"], atol=1e-5)


class Frameworks(unittest.TestCase):
    def test_keras(self):
        try:
            import keras
        except ImportError:
            self.skipTest("no Keras")
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((None, 5)),
                keras.layers.GRU(9, return_sequences=True, recurrent_activation="hard_sigmoid"),
                keras.layers.Bidirectional(keras.layers.GRU(4)),
                keras.layers.Dense(3, activation="softmax"),
            ]
        )
        x = np.random.default_rng(2).normal(size=(4, 11, 5)).astype(np.float32)
        np.testing.assert_allclose(
            gru.from_keras(model).predict(x), model.predict(x, verbose=0), atol=1e-5
        )

    def test_torch(self):
        try:
            import torch
        except ImportError:
            self.skipTest("no PyTorch")
        torch.manual_seed(1)
        module = torch.nn.GRU(5, 7, num_layers=2, batch_first=True, bidirectional=True)
        x = torch.randn(3, 8, 5)
        try:
            model = gru.from_torch(module)
        except ValueError as error:
            self.skipTest(f"no importer: {error}")
        with torch.no_grad():
            expected = module(x)[0].numpy()
        found = model.predict(x)
        found = found[0] if isinstance(found, tuple) else found
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_dlpack(self):
        try:
            import torch
        except ImportError:
            self.skipTest("no PyTorch")
        program = gru.load(data("keras", "act_tanh", "model.keras")).compile(batch=1)
        x = torch.randn(1, 4, 4, requires_grad=True)
        np.testing.assert_array_equal(program(x), program(x.detach().numpy()))


if __name__ == "__main__":
    unittest.main()
