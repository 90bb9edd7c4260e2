"""Arrays in a device's memory, on a double of the driver (GRU_FAKE_CUDA)."""

import ctypes
import os
import subprocess
import sys
import unittest

import numpy as np


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class DLManagedTensor(ctypes.Structure):
    _fields_ = [
        ("tensor", DLTensor),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    ]


class DeviceArray:
    """What PyTorch's or CuPy's arrays are to us."""

    driver = context = None

    def __init__(self, shape):
        self.shape = shape
        self.bytes = 4 * int(np.prod(shape))
        self.address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(self.address), ctypes.c_size_t(self.bytes))

    def call(self, name, *arguments):
        assert self.driver.cuCtxPushCurrent_v2(self.context) == 0
        assert getattr(self.driver, name)(*arguments) == 0
        self.driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

    def put(self, values):
        self.call("cuMemcpyHtoD_v2", self.address,
                  values.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(self.bytes))
        return self

    def get(self):
        values = np.empty(self.shape, np.float32)
        self.call("cuMemcpyDtoH_v2", values.ctypes.data_as(ctypes.c_void_p),
                  self.address, ctypes.c_size_t(self.bytes))
        return values

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **_):
        sizes = (ctypes.c_int64 * len(self.shape))(*self.shape)
        self.managed = DLManagedTensor(
            DLTensor(self.address.value, 2, 0, len(self.shape), 2, 32, 1, sizes, None, 0), None, None)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), b"dltensor", None)


def check():
    import gru

    DeviceArray.driver = ctypes.CDLL(os.environ["GRU_CUDA_DRIVER"])
    DeviceArray.context = ctypes.c_void_p()
    assert DeviceArray.driver.cuInit(0) == 0
    assert DeviceArray.driver.cuDevicePrimaryCtxRetain(ctypes.byref(DeviceArray.context), 0) == 0
    folder = os.path.join(os.environ["GRU_TEST_DATA"], "keras", "act_tanh")
    x = np.load(os.path.join(folder, "c0_in_x.npy"))
    expected = np.load(os.path.join(folder, "c0_out_output_0.f64.npy"))
    program = gru.load(os.path.join(folder, "model.keras")).compile(
        batch=x.shape[0], target="gpu")
    close = lambda found: np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)
    on_device = DeviceArray(x.shape).put(x)
    close(program(x))
    close(program(on_device))
    out = DeviceArray(expected.shape)
    assert program(on_device, out=out) is out
    close(out.get())
    session = program.session()
    session.set_stream(1)
    out = DeviceArray(expected.shape)
    session(x, out=[out])
    close(out.get())
    host = np.empty(expected.shape, np.float32)
    assert session(x, out=host) is host
    close(host)
    on_host = gru.load(os.path.join(folder, "model.keras")).compile(
        batch=x.shape[0], target="cpu")
    try:
        on_host(on_device)
    except ValueError as error:
        assert "lies in a device's memory" in str(error), error
    else:
        raise AssertionError("a program of the host took the device's memory")
    print("checked")


class OnDevice(unittest.TestCase):
    @unittest.skipUnless(os.environ.get("GRU_FAKE_CUDA"), "no double of the driver")
    def test_dlpack(self):
        # The driver is looked for once in a process.
        fake = os.environ["GRU_FAKE_CUDA"]
        done = subprocess.run(
            [sys.executable, __file__, "check"], capture_output=True, text=True,
            env=dict(os.environ, GRU_CUDA_DRIVER=fake, GRU_CUDNN=fake, GRU_CUBLAS=fake))
        self.assertEqual(done.stdout, "checked\n", done.stderr)


if __name__ == "__main__":
    check() if sys.argv[1:] == ["check"] else unittest.main()
