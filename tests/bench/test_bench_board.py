"""A Jetson's telemetry, on the layouts of a TX2 (kernel 4.9) and an AGX Orin (5.10): where a file is, in what unit.

The files under tests/data are put together from NVIDIA's documentation and published readings; no board was at hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict

import pytest

from edgecsp.system import jetson
from support.repository import REPO


def laid(root: Path, name: str, **changed: str) -> jetson.Board:
    said: Dict[str, str] = json.loads((REPO / "tests" / "data" / f"{name}.json").read_text())
    for path, text in {**said, **changed}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    found = jetson.find(root)
    assert found is not None
    return found


def test_a_tx2(tmp_path: Path) -> None:
    said = laid(tmp_path, "jetson-tx2").describe()
    assert said["model"] == "quill" and said["l4t"] == "32.7.1" and said["mode"] == "MAXP_CORE_ARM (3)"
    assert said["clocks_mhz"] == {"cpu0": (2035.2, 2035.2), "gpu": (1122.0, 1122.0)}
    assert said["temperatures_c"] == {"BCPU-therm": 41.5, "MCPU-therm": 41.5, "GPU-therm": 39.0}, "the PMIC says 100"
    assert said["rails_w"]["VDD_SYS_GPU"] == 3.051 and len(said["rails_w"]) == 6
    assert said["throttling"] == {}, "a fan at work is no throttling"
    assert jetson.Board(tmp_path).watts() == 8.442, "VDD_IN feeds the others: they are not added to it"


def test_an_orin(tmp_path: Path) -> None:
    said = laid(tmp_path, "jetson-orin").describe()
    assert said["l4t"] == "35.4.1" and said["mode"] == "MODE_30W (2)"
    assert said["clocks_mhz"]["gpu"] == (306.0, 612.0) and said["clocks_mhz"]["emc"] == (3199.0, None)
    assert said["clocks_mhz"]["cpu4"] == (729.6, 1728.0)
    assert said["temperatures_c"] == {"CPU-therm": 48.062, "GPU-therm": 44.5}, (
        "a zone that is asleep has no temperature"
    )
    assert set(said["rails_w"]) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}
    assert said["rails_w"]["VDD_GPU_SOC"] == pytest.approx(19.880 * 0.200)
    assert said["throttling"] == {"oc3 over-current events": 17, "gpu-throttle-alert state": 2}
    # The memory's rail hangs on VIN_SYS_5V0.
    assert jetson.Board(tmp_path).watts() == pytest.approx(19.880 * 0.2 + 19.872 * 0.1 + 4.960 * 0.5)


def test_what_throttled_in_between() -> None:
    before = {"oc3 over-current events": 17, "oc1 over-current events": 2}
    after = {"oc3 over-current events": 18, "oc1 over-current events": 2, "gpu-throttle-alert state": 1}
    assert jetson.compare_throttling(before, after) == ("oc3 over-current events", "gpu-throttle-alert state")
    assert jetson.compare_throttling(before, before) == ()


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert jetson.find(tmp_path) is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("something new\n")
    found = jetson.find(tmp_path)
    assert found is not None
    assert found.describe() == {
        "model": "", "l4t": None, "mode": None, "clocks_mhz": {}, "temperatures_c": {}, "rails_w": {}, "throttling": {},
    }  # fmt: skip
    assert found.watts() is None


def test_a_mode_that_the_list_does_not_name(tmp_path: Path) -> None:
    status = {"var/lib/nvpmodel/status": "pmode:0008\n"}
    assert laid(tmp_path, "jetson-tx2", **status).mode() == "mode 8"


def test_the_meter_weighs_readings_by_how_long_they_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tx2, rail = laid(tmp_path, "jetson-tx2"), "sys/bus/i2c/drivers/ina3221x/0-0041/iio:device1/in_power0_input"
    now = [100.0]
    monkeypatch.setattr(jetson.time, "monotonic", lambda: now[0])
    meter = jetson.PowerMeter(tx2)
    assert meter.watts is None
    meter.start()
    assert meter.watts == 8.442
    (tmp_path / rail).write_text("10442\n")
    now[0] += 0.01
    meter.tick()
    assert meter.watts == 8.442, "too soon for the sensor to have another value"
    now[0] += 0.99
    meter.tick()
    assert meter.watts == pytest.approx(9.442)
    now[0] += 3
    meter.tick()
    assert meter.watts == pytest.approx((1 * 9.442 + 3 * 10.442) / 4)
    nobody = jetson.PowerMeter(None)
    nobody.start()
    assert nobody.watts is None
