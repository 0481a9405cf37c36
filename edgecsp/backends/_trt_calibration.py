"""int8 from a table of steps, as the DLA takes it: the text of TensorRT's calibration cache, and who reads it out.

The DLA reads no QuantizeLinear. It gets the float graph and, instead of images, a cache of the file's own steps.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Mapping, Optional

from ..errors import BuildFailed

if TYPE_CHECKING:
    import tensorrt as trt


def format_cache(steps: Mapping[str, float], version: str) -> str:
    """Format the steps of maps as the entropy calibrator's cache of a TensorRT version, such as 8.5.2 or 10.3.0.

    A head line with the version's number, then the map's name and its step as the hexadecimal digits of a big-endian
    float32.
    """
    major, minor, patch = (int(part) for part in [*version.split("."), "0", "0"][:3])
    number = major * (1000 if major < 10 else 10000) + minor * 100 + patch
    lines = [f"TRT-{number}-EntropyCalibration2"]
    lines += [f"{name}: {struct.pack('>f', step).hex()}" for name, step in steps.items()]
    return "\n".join(lines) + "\n"


def use_steps(config: trt.IBuilderConfig, steps: Mapping[str, float]) -> trt.IInt8EntropyCalibrator2:
    """Have a network calibrated by steps instead of images; the calibrator must live until it is built.

    Raises `BuildFailed` where TensorRT calibrates no more.
    """
    import tensorrt as trt

    if not hasattr(trt, "IInt8EntropyCalibrator2"):
        raise BuildFailed(
            f"TensorRT {trt.__version__} has no calibration, which int8 on the DLA needs; leave [dla] out of the "
            "recipe, or build in fp16"
        )
    cache = format_cache(steps, trt.__version__).encode()

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)  # pybind11 asks for the base's own, not for super's

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: object) -> Optional[object]:
            return None

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, cache: object) -> None:
            pass

    calibrator: trt.IInt8EntropyCalibrator2 = Calibrator()
    config.int8_calibrator = calibrator
    return calibrator
