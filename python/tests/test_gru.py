"""The bindings, against stored results of Keras; live frameworks where there are
any."""

import json
import os
import tempfile
import unittest
import unittest.mock

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
        program = self.model.compile(batch=self.x.shape[0], weight_type="bf16")
        found = program(self.x)
        np.testing.assert_allclose(found, self.expected, atol=2e-2)
        self.assertGreater(np.abs(found - self.expected).max(), 1e-5)

    def test_compile_options(self):
        remarks, phases = [], []
        program = self.model.compile(
            batch=2, target="cpu", threads=2, cache_dir="", on_remark=remarks.append,
            on_phase=lambda name, milliseconds: phases.append(name), block_width=16)
        self.assertIn("threads: one is used", remarks[0])
        self.assertEqual(phases[0], "import")
        profiled = self.model.compile(batch=2, target="cpu", profile=True)
        self.assertEqual(profiled.outputs[-1][0], "profile:")
        self.close(program(self.x[:2]), self.expected[:2])

        def fails(remark):
            raise RuntimeError("is only printed")

        with unittest.mock.patch("sys.unraisablehook") as hook:
            self.model.compile(batch=3, target="cpu", threads=2, on_remark=fails)
        self.assertEqual(hook.call_count, 1)
        with self.assertRaisesRegex(TypeError, "compile: batch is 'two', which has"):
            self.model.compile(batch="two")
        with self.assertRaisesRegex(TypeError, "compile has no argument bach"):
            self.model.compile(bach=2)

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


def sequential(*layers, shape=(None, None, 3), version="3.0.0"):
    """A file of a Sequential model, whose weights are drawn."""
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": shape}}
    rest = [{"class_name": c, "config": {"name": n, **config}} for c, n, config in layers]
    model = {"class_name": "Sequential", "keras_version": version}
    model["config"] = {"name": "m", "layers": [first, *rest]}
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "model.json")
    with open(path, "w") as file:
        json.dump(model, file)
    return folder, path


def load_sequential(*layers, **options):
    folder, path = sequential(*layers, **options)
    with folder:
        return gru.load(path)


class Training(unittest.TestCase):
    RATES = {"units": 4, "dropout": 0.5, "recurrent_dropout": 0.3}
    x = np.ones((2, 5, 3), np.float32)

    def test_flag_of_the_call(self):
        layer = ("GRU", "a", {**self.RATES, "stateful": True})
        model = load_sequential(layer, shape=(2, None, 3))
        session, plain = model.compile().session(), model.compile().session()
        first = plain(self.x)
        np.testing.assert_array_equal(session(self.x), first)
        session.set_seed(3)
        session.reset_states()
        drawn = session(self.x, training=True)
        self.assertTrue((drawn != first).any())
        # The state of the training call is that of the session.
        np.testing.assert_array_equal(session.states["a"], drawn)
        session.reset_states()
        self.assertTrue((session(self.x, training=True) != drawn).any())
        session.set_seed(3)
        session.reset_states()
        np.testing.assert_array_equal(session(self.x, training=True), drawn)
        session.reset_states()
        np.testing.assert_array_equal(session(self.x), first)
        program = model.compile()
        self.assertEqual(program(self.x, training=True).shape, (2, 4))

    def test_program_for_training(self):
        model = load_sequential(("GRU", "a", self.RATES))
        masks = {"dropout_mask": (3, 2, 3), "recurrent_dropout_mask": (3, 2, 4)}
        program = model.compile(batch=2, training=True, masks=masks)
        self.assertEqual([name for name, _, _ in program.inputs], ["x", *masks])
        ones = [np.ones(shape) for shape in masks.values()]
        inference = model.compile(batch=2)(self.x)
        np.testing.assert_array_equal(program(self.x, *ones), inference)
        np.testing.assert_array_equal(program.session()(self.x, *ones, training=True), inference)
        drawing = model.compile(batch=2, training=True).session()
        self.assertTrue((drawing(self.x) != drawing(self.x)).any())

    def test_cell(self):
        cell = gru.CellDropout(dropout=0.2, recurrent_dropout=0.5, seed=1)
        x = np.zeros((50, 50))
        mask = cell.get_dropout_mask_for_cell(x, True)
        self.assertEqual(set(np.unique(mask)), {np.float32(0), np.float32(1.25)})
        np.testing.assert_array_equal(cell.get_dropout_mask_for_cell(x, True), mask)
        cell.reset_dropout_mask()
        self.assertTrue((cell.get_dropout_mask_for_cell(x, True) != mask).any())
        masks = cell.get_recurrent_dropout_mask_for_cell(np.zeros((2, 4)), True, count=3)
        self.assertEqual([m.shape for m in masks], [(2, 4)] * 3)
        kept = [m.copy() for m in masks]
        cell.reset_recurrent_dropout_mask()
        self.assertEqual(len(kept), 3)
        ones = cell.get_dropout_mask_for_cell(np.zeros((1, 3)), False, count=2)
        np.testing.assert_array_equal(ones, np.ones((2, 1, 3)))
        self.assertIsNone(gru.CellDropout().get_dropout_mask_for_cell(x, True))
        with self.assertRaisesRegex(ValueError, "rate is 1 in training"):
            gru.CellDropout(dropout=1.5).get_dropout_mask_for_cell(x, True)


class Layers(unittest.TestCase):
    def test_attributes(self):
        cells = [{"class_name": "GRUCell", "config": {"name": n, "units": u}} for n, u in (("c", 4), ("d", 5))]
        model = load_sequential(
            ("GRU", "a", {"units": 4, "dropout": 1.5, "return_sequences": True, "activation": None}),
            ("RNN", "b", {"cell": cells}),
        )
        self.assertEqual(model.layers, ["a", "b", "b/cell0", "b/cell1"])
        expected = {
            "units": 4, "activation": "linear", "recurrent_activation": "sigmoid",
            "use_bias": True, "kernel_initializer": "glorot_uniform",
            "recurrent_initializer": "orthogonal", "bias_initializer": "zeros",
            "kernel_regularizer": None, "recurrent_regularizer": None,
            "bias_regularizer": None, "activity_regularizer": None,
            "kernel_constraint": None, "recurrent_constraint": None,
            "bias_constraint": None, "dropout": 1, "recurrent_dropout": 0,
            "implementation": 2, "reset_after": True, "return_sequences": True,
            "return_state": False, "go_backwards": False, "stateful": False,
            "unroll": False, "time_major": False, "zero_output_for_mask": False,
            "seed": None, "states": [None], "state_size": 4, "output_size": 4,
            "name": "a", "dtype": "float32", "trainable": True, "class_name": "GRU",
        }  # fmt: skip
        for name, value in expected.items():
            self.assertEqual(model.attribute("a", name), value, name)
        self.assertEqual(model.attribute("b", "state_size"), [4, 5])
        self.assertEqual(model.attribute("b/cell1", "units"), 5)
        with self.assertRaisesRegex(ValueError, "has no attribute 'colour'"):
            model.attribute("a", "colour")

    def test_initial_state(self):
        model = load_sequential(("GRU", "a", {"units": 4, "dtype": "float16"}))
        for found, shape, dtype in (
            (model.get_initial_state("a", batch_size=3), (3, 4), np.float16),
            (model.get_initial_state("a", inputs=np.ones((5, 2, 3))), (5, 4), np.float16),
            (model.get_initial_state("a", batch_size=2, dtype=np.float64), (2, 4), np.float64),
        ):
            self.assertEqual([(s.shape, s.dtype) for s in found], [(shape, dtype)])
            self.assertFalse(found[0].any())
        with self.assertRaisesRegex(ValueError, "neither inputs nor batch_size"):
            model.get_initial_state("a")
        with self.assertRaisesRegex(ValueError, "expected f32"):
            model.get_initial_state("a", batch_size=1, dtype="int32")

    def test_states(self):
        model = load_sequential(("GRU", "a", {"units": 4, "stateful": True}), shape=(2, None, 3))
        session = model.compile().session()
        session.reset_states(np.ones((2, 4)))
        np.testing.assert_array_equal(session.states["a"], np.ones((2, 4)))
        with self.assertRaisesRegex(ValueError, r"found \[2, 5\], expected \[2, 4\]"):
            session.reset_states(np.ones((2, 5)))
        with self.assertRaisesRegex(ValueError, "found 2, expected 1"):
            session.reset_states([np.ones((2, 4))] * 2)
        session.reset_states()
        self.assertFalse(session.states["a"].any())
        other = load_sequential(("GRU", "a", {"units": 4})).compile(batch=2).session()
        with self.assertRaisesRegex(ValueError, "no stateful layer"):
            other.reset_states()

    def test_weights_and_losses(self):
        model = load_sequential(
            ("GRU", "a", {
                "units": 4, "reset_after": True, "bias_constraint": "non_neg",
                "bias_initializer": "ones", "bias_regularizer": "l1",
                "activity_regularizer": {"class_name": "L2", "config": {"l2": 1.0}},
            }),
        )  # fmt: skip
        self.assertEqual([w.shape for w in model.weights.values()], [(3, 12), (4, 12), (2, 12)])
        np.testing.assert_array_equal(model.weights["a/bias"], np.ones((2, 12)))
        kernel = model.draw_weight("a/kernel", seed=0)
        np.testing.assert_array_equal(kernel, model.weights["a/kernel"])
        self.assertTrue((model.draw_weight("a/kernel", seed=1) != kernel).any())
        np.testing.assert_array_equal(
            model.constrain_weight("a/bias", -np.ones((2, 12))), np.zeros((2, 12))
        )
        with self.assertRaisesRegex(ValueError, "no weight is called 'b'"):
            model.draw_weight("b")
        program = model.compile(batch=2, activities=True)
        y, activity = program(np.ones((2, 5, 3)))
        np.testing.assert_allclose(
            sorted(model.losses([activity])), sorted([(y**2).sum() / 2, 0.24]), rtol=1e-6
        )
        with self.assertRaisesRegex(ValueError, "found 0, expected 1"):
            model.losses()


class Arrays(unittest.TestCase):
    def test_out(self):
        model = load_sequential(("GRU", "a", {"units": 4}))
        program = model.compile(batch=2)
        x = np.ones((2, 5, 3), np.float32)
        y = np.zeros((2, 4), np.float32)
        self.assertIs(program(x, out=y), y)
        np.testing.assert_array_equal(y, program(x))
        with self.assertRaisesRegex(ValueError, "wrong shape"):
            program(x, out=np.zeros((2, 5), np.float32))
        with self.assertRaisesRegex(ValueError, "wrong type"):
            program(x, out=np.zeros((2, 4)))
        y.flags.writeable = False
        with self.assertRaises(TypeError):
            program(x, out=y)

    def test_dlpack(self):
        """What speaks DLPack and nothing else, in and out."""

        class Tensor:
            def __init__(self, array):
                self.array = array

            def __dlpack__(self, **arguments):
                return self.array.__dlpack__(**arguments)

            def __dlpack_device__(self):
                return self.array.__dlpack_device__()

        program = load_sequential(("GRU", "a", {"units": 4})).compile(batch=2)
        x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
        expected = program(x)
        np.testing.assert_array_equal(program(Tensor(x)), expected)
        np.testing.assert_array_equal(program(Tensor(x[:, ::-1])), program(x[:, ::-1]))
        y = np.zeros((2, 4), np.float32)
        program(x, out=Tensor(y))
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(np.from_dlpack(expected), expected)

    def test_bfloat16(self):
        model = load_sequential(("GRU", "a", {"units": 4, "dtype": "bfloat16"}))
        exact = load_sequential(("GRU", "a", {"units": 4}))
        self.assertEqual(model.weights["a/kernel"].dtype, np.float32)
        x = np.random.default_rng(0).normal(size=(2, 5, 3))
        y = model.compile(batch=2)(x)
        self.assertEqual(y.dtype, np.float32)
        np.testing.assert_allclose(y, exact.compile(batch=2)(x), atol=3e-2)

    def test_empty_batch(self):
        model = load_sequential(("GRU", "a", {"units": 4, "return_sequences": True}))
        self.assertEqual(model.predict(np.zeros((0, 5, 3))).shape, (0, 5, 4))


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
