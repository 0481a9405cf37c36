"""A Jetson: its power mode, clocks, temperatures, throttling and watts, from the files that tegrastats reads.

Two layouts. Kernel 4.9 (TX2, Xavier, Nano) has NVIDIA's driver `ina3221x` with iio files that hold milliwatts; kernel
5.10 and later (Orin) have Linux's own `ina3221` with hwmon files that hold millivolts and milliamperes. Sources:
NVIDIA's Jetson Linux Developer Guide, "Power Monitor" of each release; the kernel's Documentation/hwmon/ina3221.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

ROOT = Path("/")
WHOLE = ("VDD_IN", "POM_5V_IN", "VIN")  # rails that all the others hang on
INNER = ("VDDQ_VDD2_1V8AO",)  # behind VIN_SYS_5V0 on an AGX Orin: counting both would count it twice
GPUS = ("*.gp10b", "*.ga10b", "*.gv11b", "*.gpu", "*.gm20b")


def find(root: Path = ROOT) -> Optional[Board]:
    """Find this machine's Jetson board; None on other machines."""
    compatible = _text(root / "proc" / "device-tree" / "compatible") or ""
    tegra = (root / "etc" / "nv_tegra_release").is_file() or "nvidia,tegra" in compatible
    return Board(root) if tegra else None


@dataclass(frozen=True)
class Board:
    """A Jetson's files under `root`. What a board does not have, or does not let us read, is left out."""

    root: Path = ROOT

    def describe(self) -> Dict[str, Any]:
        """Describe the board and its state, as JSON."""
        return {
            "model": (_text(self.root / "proc" / "device-tree" / "model") or "").strip("\0"),
            "l4t": self.l4t(),
            "mode": self.mode(),
            "clocks_mhz": self.clocks_mhz(),
            "temperatures_c": self.temperatures_c(),
            "rails_w": self.rails_w(),
            "throttling": self.throttling(),
        }

    def l4t(self) -> Optional[str]:
        """The release of Jetson Linux, "32.7.1"."""
        text = re.match(
            r"# R(\d+) \(release\), REVISION: ([\d.]+)", _text(self.root / "etc" / "nv_tegra_release") or ""
        )
        return f"{text[1]}.{text[2]}" if text else None

    def mode(self) -> Optional[str]:
        """The power mode as nvpmodel names it, "MAXN (0)"."""
        text = re.search(r"pmode:0*(\d+)", _text(self.root / "var" / "lib" / "nvpmodel" / "status") or "")
        if not text:
            return None
        listed = _text(self.root / "etc" / "nvpmodel.conf") or ""
        for number, name in re.findall(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>", listed, re.MULTILINE):
            if number == text[1]:
                return f"{name} ({number})"
        return f"mode {text[1]}"

    def clocks_mhz(self) -> Dict[str, Tuple[float, Optional[float]]]:
        """Now and at most, of the first CPU of each cluster, the GPU, and the memory where root asks."""
        clocks: Dict[str, Tuple[float, Optional[float]]] = {}
        cpus = self.root / "sys" / "devices" / "system" / "cpu" / "cpufreq"
        for policy in sorted(cpus.glob("policy[0-9]*")):
            _clock(clocks, policy.name.replace("policy", "cpu"), policy, "scaling_{}_freq", 1e3)
        for pattern in GPUS:
            for gpu in (self.root / "sys" / "class" / "devfreq").glob(pattern):
                _clock(clocks, "gpu", gpu, "{}_freq", 1e6)
        emc = _number(self.root / "sys" / "kernel" / "debug" / "bpmp" / "debug" / "clk" / "emc" / "rate")
        if emc is not None:
            clocks["emc"] = (emc / 1e6, None)
        return clocks

    def temperatures_c(self) -> Dict[str, float]:
        """Temperatures by thermal zone. The PMIC's is left out: it is a constant."""
        temperatures = {}
        for zone in sorted((self.root / "sys" / "class" / "thermal").glob("thermal_zone*")):
            name, value = _text(zone / "type"), _number(zone / "temp")
            if name and value is not None and "pmic" not in name.lower():
                temperatures[name] = value / 1e3
        return temperatures

    def rails_w(self) -> Dict[str, float]:
        """Watts by rail."""
        drivers, rails = self.root / "sys" / "bus" / "i2c" / "drivers", {}
        for label in sorted((drivers / "ina3221x").glob("*/iio?device*/rail_name_*")):
            power = _number(label.parent / f"in_power{label.name[-1]}_input")
            if power is not None:
                rails[_text(label) or label.name] = power / 1e3
        for label in sorted((drivers / "ina3221").glob("*/hwmon/hwmon*/in[123]_label")):
            volts, amperes = (_number(label.parent / f"{kind}{label.name[2]}_input") for kind in ("in", "curr"))
            name = _text(label)
            if name and name != "NC" and volts is not None and amperes is not None:
                rails[name] = volts * amperes / 1e6
        return rails

    def watts(self) -> Optional[float]:
        """Power of the whole board: the rail that all hang on, else the sum of those that do not hang on one."""
        rails = self.rails_w()
        for name in WHOLE:
            if name in rails:
                return rails[name]
        return sum(value for name, value in rails.items() if name not in INNER) if rails else None

    def energy_j(self) -> Dict[str, float]:
        """Joules that each CPU package of a PC has taken since some time, where we may read it (root may).

        It starts again at some 262 kJ. Source: the kernel's Documentation/power/powercap.
        """
        joules = {}
        for package in sorted((self.root / "sys" / "class" / "powercap").glob("intel-rapl:*")):
            name, value = _text(package / "name"), _number(package / "energy_uj")
            if name and value is not None and package.name.count(":") == 1:
                joules[name] = value / 1e6
        return joules

    def throttling(self) -> Dict[str, int]:
        """Over-current events since the start, and cooling devices at work (fans are none) by their state."""
        counts = {}
        for counter in sorted((self.root / "sys" / "class" / "hwmon").glob("hwmon*/oc*_event_cnt")):
            events = _number(counter)
            if events:
                counts[counter.name.replace("_event_cnt", " over-current events")] = int(events)
        for device in sorted((self.root / "sys" / "class" / "thermal").glob("cooling_device*")):
            name, state = _text(device / "type"), _number(device / "cur_state")
            if name and state and "fan" not in name.lower():
                counts[f"{name} state"] = int(state)
        return counts


def compare_throttling(before: Dict[str, int], after: Dict[str, int]) -> Tuple[str, ...]:
    """Compare two readings of `Board.throttling`: new events, and active cooling devices."""
    return tuple(name for name, value in after.items() if name.endswith("state") or value > before.get(name, 0))


class PowerMeter:
    """Watts while a row is measured: `tick` as often as you like, `watts` is their mean over time."""

    def __init__(self, board: Optional[Board], apart_s: float = 0.1) -> None:
        self._board, self._apart_s = board, apart_s
        self._readings: List[Tuple[float, float]] = []

    def start(self) -> None:
        """Forget what was seen, and look."""
        self._readings.clear()
        self.tick()

    def tick(self) -> None:
        """Look, if the last look is long enough ago."""
        now = time.monotonic()
        if self._board is None or (self._readings and now - self._readings[-1][0] < self._apart_s):
            return
        watts = self._board.watts()
        if watts is not None:
            self._readings.append((now, watts))

    @property
    def watts(self) -> Optional[float]:
        """The mean of what was seen, each reading counting as long as it stood."""
        if len(self._readings) < 2:
            return self._readings[0][1] if self._readings else None
        spans = [(b[0] - a[0], (a[1] + b[1]) / 2) for a, b in zip(self._readings, self._readings[1:])]
        return sum(span * watts for span, watts in spans) / sum(span for span, _ in spans)


def _clock(
    clocks: Dict[str, Tuple[float, Optional[float]]], name: str, folder: Path, pattern: str, to_mhz: float
) -> None:
    now, most = (_number(folder / pattern.format(word)) for word in ("cur", "max"))
    if now is not None:
        clocks[name] = (now / to_mhz, None if most is None else most / to_mhz)


def _number(path: Path) -> Optional[float]:
    text = _text(path)
    return float(text) if text and re.fullmatch(r"-?\d+", text) else None


def _text(path: Path) -> Optional[str]:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:  # not there, not ours, or a sensor that is asleep (EAGAIN)
        return None
