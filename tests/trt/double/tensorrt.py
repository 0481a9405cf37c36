"""A TensorRT that builds nothing and computes with onnxruntime, with the names of one real version."""

from __future__ import annotations

from typing import Any, List, Optional

import rehearsal
from rehearsal import Played, did, fails, on_device

__version__ = rehearsal.VERSION
_MARK = b"PLAN of " + __version__.encode() + b"\n"


class _Names(type):
    """A class of constants: the version's own, no others; each is its own name."""

    def __getattr__(cls, name: str) -> Any:
        if name in rehearsal.NAMES[__version__].get(cls.__name__, ()):
            return _Value(f"{cls.__name__}.{name}")
        raise AttributeError(f"{cls.__name__} of {__version__} has no {name}")


class _Value(str):
    def __int__(self) -> int:
        return 0


class BuilderFlag(metaclass=_Names):
    pass


class DataType(metaclass=_Names):
    pass


class DeviceType(metaclass=_Names):
    pass


class LayerType(metaclass=_Names):
    pass


class MemoryPoolType(metaclass=_Names):
    pass


class NetworkDefinitionCreationFlag(metaclass=_Names):
    pass


class TensorIOMode(metaclass=_Names):
    pass


class ILogger(metaclass=_Names):
    def __init__(self) -> None:
        self.ready = True


def _complain(logger: Any, text: str) -> None:
    assert logger.ready, "a subclass of ILogger must call ILogger.__init__"
    logger.log(_Value("ILogger.WARNING"), "a warning that is no error's reason")
    logger.log(ILogger.ERROR, text)


class IHostMemory(bytes):
    pass


class Builder(Played):
    def __init__(self, logger: Any) -> None:
        did("Builder")
        self._logger = logger

    num_DLA_cores = 2

    def create_network(self, flags: int) -> INetworkDefinition:
        did(f"create_network {flags}")
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def build_serialized_network(self, network: Any, config: Any) -> Optional[IHostMemory]:
        on_device("build_serialized_network")
        if fails("build"):
            _complain(self._logger, "Could not find any implementation for node conv_3.")
            return None
        if fails("kill"):
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
        if config._calibrator is not None:
            assert config._calibrator.get_batch(["images"]) is None and config._calibrator.get_batch_size() == 1
            for line in config._calibrator.read_calibration_cache().decode().splitlines():
                did(f"calibration {line}")
        return IHostMemory(_MARK + (b"half\n" if config._half else b"full\n") + network._onnx)


class INetworkDefinition(Played):
    _onnx = b""
    _layers: Any = None

    def _all(self) -> List[ILayer]:
        """One layer a node, and a constant, as the parser makes them."""
        if self._layers is None:
            import onnx

            nodes = onnx.load_model_from_string(self._onnx).graph.node
            self._layers = [ILayer("a constant", "Constant"), *(ILayer(node.name, node.op_type) for node in nodes)]
        return self._layers

    @property
    def num_layers(self) -> int:
        return len(self._all())

    def get_layer(self, index: int) -> ILayer:
        return self._all()[index]


class ILayer(Played):
    def __init__(self, name: str, kind: str) -> None:
        self._name, self._kind = name, kind

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "precision":
            did(f"{self._name}.precision = {value}")

    precision = ""

    @property
    def name(self) -> str:
        return self._name

    @property
    def type(self) -> Any:
        return LayerType.CONSTANT if self._kind == "Constant" else _Value("LayerType.OTHER")


class IInt8EntropyCalibrator2(Played):
    def __init__(self) -> None:
        self._ready = True


class IBuilderConfig(Played):
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "int8_calibrator":
            self._calibrator = value
            assert value._ready, "a subclass of IInt8EntropyCalibrator2 must call its __init__"
        elif not name.startswith("_"):
            did(f"config.{name} = {value}")

    _half = False
    _calibrator: Any = None
    max_workspace_size = 0
    int8_calibrator: Any = None

    def can_run_on_DLA(self, layer: ILayer) -> bool:
        return layer._kind != "Constant" and not (fails("dla") and layer._kind == "Resize")

    default_device_type = ""
    DLA_core = -1

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        did(f"set_memory_pool_limit {pool} {size}")

    def set_flag(self, flag: Any) -> None:
        did(f"set_flag {flag}")
        self._half = self._half or flag.endswith("FP16")

    def clear_flag(self, flag: Any) -> None:
        did(f"clear_flag {flag}")

    def create_timing_cache(self, data: bytes) -> ITimingCache:
        assert isinstance(data, bytes)
        return ITimingCache(data)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        did(f"set_timing_cache {len(cache._data)}")
        self._cache = cache
        return not (fails("timing") and cache._data)

    def get_timing_cache(self) -> ITimingCache:
        return ITimingCache(self._cache._data + b"t")


class ITimingCache(Played):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._data)


class ParserError(Played):
    def desc(self) -> str:
        return "No importer registered for op: Wonder"

    def node(self) -> int:
        return 7


class OnnxParser(Played):
    def __init__(self, network: Any, logger: Any) -> None:
        self._network = network

    num_errors = 1

    def parse(self, data: bytes) -> bool:
        did("parse")
        self._network._onnx = data
        return not fails("parse")

    def get_error(self, index: int) -> ParserError:
        assert index == 0
        return ParserError()


class Runtime(Played):
    def __init__(self, logger: Any) -> None:
        did("Runtime")
        self._logger = logger

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "DLA_core":
            did(f"runtime.DLA_core = {value}")

    DLA_core = -1

    def deserialize_cuda_engine(self, data: bytes) -> Optional[ICudaEngine]:
        on_device("deserialize_cuda_engine")
        if not data.startswith(_MARK) or fails("deserialize"):
            _complain(self._logger, "The engine plan file is not compatible with this version of TensorRT.")
            return None
        kind, _, onnx = data[len(_MARK) :].partition(b"\n")
        return ICudaEngine(onnx, self._logger, blind=kind == b"half" and fails("blind"))


class ICudaEngine(Played):
    def __init__(self, onnx: bytes, logger: Any, blind: bool) -> None:
        import onnxruntime as ort

        self._session = ort.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        self._logger, self._blind = logger, blind
        self._tensors = [*self._session.get_inputs(), *reversed(self._session.get_outputs())]
        self._inputs = len(self._session.get_inputs())
        rehearsal.alive.append("engine")

    def __del__(self) -> None:
        on_device("engine freed")
        rehearsal.alive.remove("engine")

    def create_execution_context(self) -> Optional[IExecutionContext]:
        on_device("create_execution_context")
        if fails("context"):
            _complain(self._logger, "out of memory")
            return None
        return IExecutionContext(self)

    def _place(self, name: str) -> int:
        return [each.name for each in self._tensors].index(name)

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return self._tensors[index].name

    def get_tensor_shape(self, name: str) -> List[int]:
        return self._tensors[self._place(name)].shape

    def get_tensor_mode(self, name: str) -> Any:
        return TensorIOMode.INPUT if self._place(name) < self._inputs else _Value("TensorIOMode.OUTPUT")

    def get_tensor_dtype(self, name: str) -> Any:
        return _Value("DataType.HALF") if fails("dtype") else DataType.FLOAT

    @property
    def num_bindings(self) -> int:
        return len(self._tensors)

    def get_binding_name(self, index: int) -> str:
        return self._tensors[index].name

    def get_binding_shape(self, index: int) -> List[int]:
        return self._tensors[index].shape

    def binding_is_input(self, index: int) -> bool:
        return index < self._inputs

    def get_binding_dtype(self, index: int) -> Any:
        return _Value("DataType.HALF") if fails("dtype") else DataType.FLOAT


class IExecutionContext(Played):
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._addresses = {}
        rehearsal.alive.append("execution context")

    def __del__(self) -> None:
        on_device("execution context freed")
        rehearsal.alive.remove("execution context")

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert type(address) is int
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        return self._run("execute_async_v3", self._addresses, stream)

    def execute_async_v2(self, bindings: List[int], stream: int) -> bool:
        names = [each.name for each in self._engine._tensors]
        return self._run("execute_async_v2", dict(zip(names, bindings)), stream)

    def _run(self, step: str, addresses: Any, stream: int) -> bool:
        from pycuda import driver

        on_device(step)
        assert stream == driver.STREAM
        if fails("run"):
            _complain(self._engine._logger, "an illegal memory access was encountered")
            return False
        session = self._engine._session
        given = {each.name: driver.memory(addresses[each.name]).reshape(each.shape) for each in session.get_inputs()}
        for each, found in zip(session.get_outputs(), session.run(None, given)):
            driver.memory(addresses[each.name])[:] = -99 if self._engine._blind else found.reshape(-1)
        return True


for _name in ("MemoryPoolType", "TensorIOMode", "IInt8EntropyCalibrator2"):
    if _name not in rehearsal.NAMES[__version__][""]:
        del globals()[_name]
