"""The few calls of NVIDIA's driver that run our own kernels, on PyTorch's context and streams."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.engine.base import DeviceFault
from vsr.engine.kernel_launch import KernelsUnavailable, Launch

_SHARED_MEMORY_OPTIN = 97  # CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
_MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_CARVEOUT = 9  # CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, in percent
# What kernels can do wrong (CUresult): from the first such answer on, all answers are that one.
_STICKY = frozenset({214, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999})

# How an argument is handed over, by its letter in a signature.
_KINDS: dict[str, Callable[[Any], Any]] = {
    "p": ctypes.c_uint64, "l": ctypes.c_int64, "i": ctypes.c_int, "f": ctypes.c_float,
}  # fmt: skip


class DriverError(KernelsUnavailable):
    """The driver is missing or refused; its own words."""


class _NodeParameters(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS, the first version."""

    _fields_ = (
        ("function", ctypes.c_void_p),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("parameters", ctypes.POINTER(ctypes.c_void_p)),
        ("extra", ctypes.POINTER(ctypes.c_void_p)),
    )


class Driver:
    """The library. Raises DriverError where there is none."""

    def __init__(self) -> None:
        name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
        try:
            self._lib = ctypes.CDLL(name)
        except OSError as error:
            raise DriverError(str(error)) from None
        self.call("cuInit", ctypes.c_uint(0))

    def call(self, name: str, *arguments: object) -> None:
        """Call the driver; raises DriverError, in its words, for any result but success.

        Raises DeviceFault where a kernel has failed before: the context stays lost from then on.
        """
        result = getattr(self._lib, name)(*arguments)
        if result:
            text = ctypes.c_char_p()
            self._lib.cuGetErrorString(result, ctypes.byref(text))
            words = (text.value or b"unknown error").decode(errors="replace")
            kind = DeviceFault if result in _STICKY else DriverError
            raise kind(f"{name}: {words} ({result})")

    def version(self) -> str:
        """Return the driver's version, as precisely as it can be had."""
        with suppress(OSError):
            return Path("/sys/module/nvidia/version").read_text(encoding="ascii").strip()
        version = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(version))
        return f"CUDA {version.value}"

    def context(self, device: int) -> ctypes.c_void_p:
        """Return the context that PyTorch uses too; it stays until the process ends."""
        handle, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(device))
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
        return context

    def shared_memory(self, device: int) -> int:
        """Return bytes that a block may have on the device of that number."""
        handle, value = ctypes.c_int(), ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(device))
        self.call("cuDeviceGetAttribute", ctypes.byref(value), _SHARED_MEMORY_OPTIN, handle)
        return value.value


class Kernels:
    """What was compiled, loaded into PyTorch's context of a device as long as this lives."""

    def __init__(self, driver: Driver, device: int, image: bytes, names: Iterable[str]) -> None:
        self.driver = driver
        self._context = driver.context(device)
        self._module = ctypes.c_void_p()
        self.bind()
        driver.call("cuModuleLoadData", ctypes.byref(self._module), image)
        self._functions = {name: self._function(name) for name in names}
        self._shared = dict.fromkeys(self._functions, 0)

    def bind(self) -> None:
        """Make the context this thread's own. One that only allocates from a cache has none yet."""
        self.driver.call("cuCtxSetCurrent", self._context)

    def _function(self, name: str) -> ctypes.c_void_p:
        function = ctypes.c_void_p()
        self.driver.call("cuModuleGetFunction", ctypes.byref(function), self._module, name.encode())
        return function

    def allow(self, launch: Launch) -> ctypes.c_void_p:
        """Return the function of a launch, that may use as much shared memory as it asks for."""
        function = self._functions[launch.kernel]
        if launch.shared > self._shared[launch.kernel]:
            call = self.driver.call
            call("cuFuncSetAttribute", function, _MAX_DYNAMIC_SHARED, ctypes.c_int(launch.shared))
            call("cuFuncSetAttribute", function, _CARVEOUT, ctypes.c_int(100))
            self._shared[launch.kernel] = launch.shared
        return function

    def run(self, launch: Launch, stream: int) -> None:
        """Queue one launch on a stream of the device."""
        self.bind()
        self.driver.call(
            "cuLaunchKernel", self.allow(launch),
            *(ctypes.c_uint(n) for n in (launch.grid, 1, 1, launch.threads, 1, 1, launch.shared)),
            ctypes.c_void_p(stream), _parameters(launch), None,
        )  # fmt: skip

    def prepared(self, launch: Launch) -> PreparedLaunch:
        """Return a launch that can be queued again and again, with other arguments."""
        return PreparedLaunch(self, launch)

    def __del__(self) -> None:
        with suppress(Exception):  # at the interpreter's end the context may be gone
            self.driver.call("cuModuleUnload", self._module)


class PreparedLaunch:
    """A launch whose numbers lie as the driver reads them, which takes less of Python's time."""

    def __init__(self, kernels: Kernels, launch: Launch) -> None:
        self._kernels = kernels
        self._parameters = _parameters(launch)
        self._grid, self._stream = ctypes.c_uint(launch.grid), ctypes.c_void_p()
        one, shared = ctypes.c_uint(1), ctypes.c_uint(launch.shared)
        self._given = (
            kernels.allow(launch), self._grid, one, one, ctypes.c_uint(launch.threads), one, one,
            shared, self._stream, self._parameters, None,
        )  # fmt: skip

    def run(self, stream: int, grid: int, changed: Mapping[int, int]) -> None:
        """Queue it with so many blocks, and the arguments of these places."""
        self._grid.value, self._stream.value = grid, stream
        for place, value in changed.items():
            self._parameters.values[place].value = value  # type: ignore[attr-defined]
        self._kernels.bind()
        self._kernels.driver.call("cuLaunchKernel", *self._given)


class Graph:
    """Launches that depend each on the one before, handed to the device as one."""

    def __init__(self, kernels: Kernels, launches: Iterable[Launch]) -> None:
        self._kernels, self._driver = kernels, kernels.driver
        self._nodes: list[ctypes.c_void_p] = []
        self._launches: list[Launch] = []
        # Both live as long as this: what changes in the executable one is named by the nodes of the
        # other, which end with it.
        self._graph, self._exec = ctypes.c_void_p(), ctypes.c_void_p()
        call = self._driver.call
        kernels.bind()
        call("cuGraphCreate", ctypes.byref(self._graph), ctypes.c_uint(0))
        for launch in launches:
            node = ctypes.c_void_p()
            before = (ctypes.c_void_p * 1)(*(one.value for one in self._nodes[-1:]))
            call(
                "cuGraphAddKernelNode", ctypes.byref(node), self._graph,
                before, ctypes.c_size_t(len(self._nodes[-1:])),
                ctypes.byref(self._node(launch)),
            )  # fmt: skip
            self._nodes.append(node)
            self._launches.append(launch)
        call(
            "cuGraphInstantiateWithFlags",
            ctypes.byref(self._exec), self._graph, ctypes.c_ulonglong(0),
        )  # fmt: skip

    def run(self, launches: Iterable[Launch], stream: int) -> None:
        """Queue it, with what has changed in the arguments since the last time."""
        self._kernels.bind()
        for n, launch in enumerate(launches):
            if launch != self._launches[n]:
                self._driver.call(
                    "cuGraphExecKernelNodeSetParams",
                    self._exec, self._nodes[n], ctypes.byref(self._node(launch)),
                )  # fmt: skip
                self._launches[n] = launch
        self._driver.call("cuGraphLaunch", self._exec, ctypes.c_void_p(stream))

    def _node(self, launch: Launch) -> _NodeParameters:
        return _NodeParameters(
            self._kernels.allow(launch),
            (launch.grid, 1, 1),
            (launch.threads, 1, 1),
            launch.shared,
            _parameters(launch),
            None,
        )

    def __del__(self) -> None:
        # One that is still running is freed by the driver when it is done.
        with suppress(Exception):
            if self._exec:
                self._driver.call("cuGraphExecDestroy", self._exec)
            if self._graph:
                self._driver.call("cuGraphDestroy", self._graph)


def _parameters(launch: Launch) -> ctypes.Array[ctypes.c_void_p]:
    """Return pointers to the arguments, as the driver reads them; it copies them at once."""
    values = [
        _KINDS[kind](value) for kind, value in zip(launch.signature, launch.arguments, strict=True)
    ]
    array = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    array.values = values  # type: ignore[attr-defined]  # keeps them alive with the array
    return array
