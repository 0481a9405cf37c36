"""TensorRT: NVIDIA GPUs and Jetsons, from plans that are built once and kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import numpy as np

from ..cache import plans
from ..errors import BuildFailed, EngineUnavailable, UsageError
from ..types import Array, Model
from . import _trt_chip, _trt_log, _trt_plan
from .base import EngineInfo, Session, SessionOptions
from .recipes import Recipe

if TYPE_CHECKING:
    import pycuda.driver as cuda
    import tensorrt as trt


@dataclass(frozen=True)
class _Tensor:
    """An input or output of an engine."""

    name: str
    shape: Tuple[int, ...]
    is_input: bool
    dtype: Any


class TrtSession(Session):
    """A plan on the first CUDA device, with pinned buffers; a new plan is built first, which takes minutes.

    `recipe` is what it is built by; when not given, the newest plan that fits is taken, else one is built by the
    shipped recipe for the device. `trust` takes a plan from the cache that was not made here. `plan` says which it is.
    """

    info = EngineInfo(
        "trt",
        "NVIDIA GPUs and Jetsons, from plans that are built once and kept.",
        requires=("tensorrt", "pycuda"),
        extra="trt",
        aliases=("tensorrt",),
        devices=("cuda",),
        precisions=("fp32", "fp16", "int8"),
        auto_rank=10,
        auto_reason="the first choice on a CUDA device",
    )

    @classmethod
    def unavailable_reason(cls, device: str) -> Optional[str]:
        """None when there is a CUDA device, else why there is none."""
        try:
            _trt_chip.chip()
        except EngineUnavailable as error:
            return f"finds no device: {error}"
        return None

    def __init__(
        self, model: Model, options: SessionOptions, *, recipe: Optional[Recipe] = None, trust: bool = False
    ) -> None:
        super().__init__(model, options)
        precision, chip = options.precision, _trt_chip.chip()
        recipe = replace(recipe, precision=precision) if recipe else _trt_plan.choose_recipe(model, precision, chip)
        self._facts = _trt_plan.plan_facts(model, recipe, chip)
        self.plan = plan = _trt_plan.obtain(model, recipe, chip, trust=trust)
        self._name = model.name
        self._heads = [head.name for head in model.heads]
        self._host: Dict[str, Array] = {}
        self._device: Dict[str, cuda.DeviceAllocation] = {}
        self._cuda: cuda.Context = _trt_chip.context()
        try:
            with _trt_chip.current(self._cuda):
                self._open(plan.data, recipe.dla_core, str(plan.path))
                self._make_buffers()
        except BaseException:
            self.close()
            raise

    def _open(self, plan: bytes, dla_core: Optional[int], label: str) -> None:
        import pycuda.driver as cuda
        import tensorrt as trt

        _trt_log.clear()
        runtime: trt.Runtime = trt.Runtime(_trt_log.logger())
        if dla_core is not None:
            runtime.DLA_core = dla_core
        # No other name for either: an error's traceback would keep it alive, and they must go before the context does.
        self._engine: trt.ICudaEngine = runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise _trt_log.build_error(
                f"TensorRT {trt.__version__} cannot load {label}; delete it, and it is built anew"
            )
        self._execution: trt.IExecutionContext = self._engine.create_execution_context()
        if self._execution is None:
            raise _trt_log.build_error(f"TensorRT {trt.__version__} cannot run {self._name}: no execution context")
        self._stream: cuda.Stream = cuda.Stream()

    def _make_buffers(self) -> None:
        """Pinned memory here and plain memory there, for each tensor, in the engine's order."""
        import pycuda.driver as cuda
        import tensorrt as trt

        tensors = _tensors(self._engine)
        odd = [tensor.name for tensor in tensors if tensor.dtype != trt.DataType.FLOAT]
        missing = set(self._heads) - {tensor.name for tensor in tensors if not tensor.is_input}
        if odd or missing or sum(tensor.is_input for tensor in tensors) != 1:
            raise BuildFailed(f"the plan of {self._name} has other tensors than the model: {tensors}")
        for tensor in tensors:
            self._host[tensor.name] = cuda.pagelocked_empty(tensor.shape, np.float32)
            allocation: cuda.DeviceAllocation = cuda.mem_alloc(self._host[tensor.name].nbytes)
            self._device[tensor.name] = allocation
            if tensor.is_input:
                self._input = tensor.name
            if hasattr(self._execution, "set_tensor_address"):
                self._execution.set_tensor_address(tensor.name, int(allocation))

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head."""
        import pycuda.driver as cuda

        host = self._host[self._input]
        if batch.shape != host.shape:  # numpy would stretch one image over the whole batch
            raise UsageError(f"{self._name} was built for an input of {host.shape}; {batch.shape} was given")
        np.copyto(host, batch)
        with _trt_chip.current(self._cuda):
            cuda.memcpy_htod_async(self._device[self._input], host, self._stream)
            if not self._execute():
                raise _trt_log.build_error(f"TensorRT failed while it ran {self._name}")
            for name in self._heads:
                cuda.memcpy_dtoh_async(self._host[name], self._device[name], self._stream)
            self._stream.synchronize()
        return [self._host[name].copy() for name in self._heads]

    def _execute(self) -> bool:
        if hasattr(self._execution, "execute_async_v3"):
            return bool(self._execution.execute_async_v3(self._stream.handle))
        bindings = [int(allocation) for allocation in self._device.values()]
        return bool(self._execution.execute_async_v2(bindings, self._stream.handle))

    def forget(self) -> None:
        """Take the plan out of the cache; the session goes on."""
        plans.drop(self._facts)

    def close(self) -> None:
        """Free all of it, innermost first, while its context is current; once more does nothing."""
        context: Optional[cuda.Context] = vars(self).pop("_cuda", None)
        if context is None:
            return
        with _trt_chip.current(context):
            for name in ("_execution", "_engine", "_stream"):
                vars(self).pop(name, None)
            for allocation in self._device.values():
                allocation.free()
            for array in self._host.values():
                pinned: cuda.PagelockedHostAllocation = array.base
                pinned.free()
            self._device.clear()
            self._host.clear()
        context.detach()


def _tensors(engine: trt.ICudaEngine) -> List[_Tensor]:
    """Inputs and outputs in the engine's order, which is that of its bindings where it has such."""
    import tensorrt as trt

    if hasattr(engine, "num_io_tensors"):
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return [
            _Tensor(
                name,
                tuple(engine.get_tensor_shape(name)),
                engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
                engine.get_tensor_dtype(name),
            )
            for name in names
        ]
    return [
        _Tensor(
            engine.get_binding_name(index),
            tuple(engine.get_binding_shape(index)),
            engine.binding_is_input(index),
            engine.get_binding_dtype(index),
        )
        for index in range(engine.num_bindings)
    ]
