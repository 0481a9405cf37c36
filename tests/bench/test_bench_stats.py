"""Middles, tails, ranks and the bootstrap, where the answer is known; and what else the machine did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecsp.bench import interference, stats
from edgecsp.bench.interference import SystemNoise
from edgecsp.system import cpu, memory


def test_percentiles_are_samples() -> None:
    samples = [float(value) for value in range(1, 101)]
    assert stats.percentile(samples, 0.9) == 90 and stats.percentile(samples, 0.99) == 99
    assert stats.percentile(samples, 0.999) == 100, "of a hundred, p99.9 is the slowest"
    assert stats.percentile([5.0], 0.5) == 5
    said = stats.summary([4.0, 1.0, 3.0, 2.0])
    assert (said["median_ms"], said["iqr_ms"], said["p90_ms"]) == (2.5, 1.5, 4.0)


def test_split_is_the_inverse_of_joining() -> None:
    assert stats.split([1, 2, 3, 4, 5], [2, 0, 3]) == [[1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),  # 1 - 6 * 4 / (5 * 24)
        ([1, 1, 2], [1, 2, 3], np.sqrt(3) / 2),  # ties share their rank
        ([1, 1, 1], [1, 2, 3], None),
        ([1, 2], [1, 2], None),
    ],
)
def test_spearman(a: list, b: list, expected: object) -> None:
    found = stats.spearman(list(zip(a, b)))
    assert found == pytest.approx(expected) if expected is not None else found is None


def noisy(seed: int, middle: float, drift: float = 0.0, rounds: int = 5, each: int = 40) -> list:
    random = np.random.default_rng(seed)
    return [
        list(middle * (1 + drift * random.standard_normal()) * (1 + 0.05 * random.random(each))) for _ in range(rounds)
    ]


def test_the_bootstrap_knows_a_drift_from_a_difference() -> None:
    def span(rounds: list) -> float:
        low, high = stats.interval(stats.medians(rounds))
        return (high - low) / np.median(np.concatenate(rounds))

    steady, drifting = noisy(1, 10.0), noisy(1, 10.0, drift=0.1)
    assert span(steady) < 0.02
    assert span(drifting) > 0.08
    one_round = [list(np.random.default_rng(0).permutation(np.concatenate(drifting)))]
    assert span(one_round) < span(drifting), "without its rounds a drift looks like so much noise"


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(60):
        low, high = stats.interval(stats.medians(noisy(seed, 10.0, drift=0.03), draws=200, seed=seed))
        held += low <= 10.25 <= high
    # Five rounds are few: such intervals are a little too short, and are not to be trusted to the last percent.
    assert held >= 45


def test_a_machine_with_causes(tmp_path: Path) -> None:
    def seen(user: int, steal: int, stops: int, hot: int, khz: int) -> interference.CounterSnapshot:
        freq = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
        group = tmp_path / "sys/fs/cgroup/box"
        heat = tmp_path / "sys/devices/system/cpu/cpu0/thermal_throttle"
        for folder in (tmp_path / "proc/self", freq, group, heat):
            folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc/stat").write_text(f"cpu  {user} 0 100 9000 50 0 7 {steal} 0 0\ncpu0 1 2 3\n")
        (tmp_path / "proc/self/cgroup").write_text("0::/box\n")
        (group / "cpu.stat").write_text(f"usage_usec 12\nnr_periods 9\nnr_throttled {stops}\nthrottled_usec 5\n")
        (heat / "core_throttle_count").write_text(f"{hot}\n")
        (freq / "scaling_cur_freq").write_text(f"{khz}\n")
        (freq / "scaling_governor").write_text("powersave\n")
        return interference.take_snapshot(tmp_path)

    before, after = seen(1000, 0, 2, 4, 3_000_000), seen(1500, 100, 5, 11, 2_000_000)
    after = interference.CounterSnapshot(
        before.at_s + 4, *(getattr(after, key) for key in ("busy_s", "steal_s", "throttled", "overheated", "mhz"))
    )
    around = interference.compute_noise(before, after, own_s=3.0, board=("oc3 over-current events",))
    assert around.others == pytest.approx(0.5), "5 s of work in 4 s, 3 of them ours"
    assert around.steal == pytest.approx(0.25) and (around.throttled, around.overheated, around.mhz) == (3, 7, 2000)
    said = interference.find_causes([SystemNoise(0.0, 0.0, 0, 0, 3000.0), around], cpu.governor(tmp_path))
    assert said == [
        "other programs used up to 0.50 CPUs",
        "the host took up to 0.25 CPUs (steal)",
        "the container's CPU quota stopped it 3 times",
        "the cores slowed down for heat 7 times",
        "the board throttled: oc3 over-current events",
        "the clock went from 3000 down to 2000 MHz",
        "the CPU governor is powersave, not performance",
    ]


def test_a_quiet_machine_has_none() -> None:
    assert (
        interference.find_causes(
            [SystemNoise(0.01, 0.0, 0, 0, 3000.0), SystemNoise(0.0, 0.001, 0, 0, 2990.0)], "performance"
        )
        == []
    )
    assert interference.find_causes([SystemNoise()], None) == []


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    look = interference.take_snapshot(tmp_path)
    assert (look.busy_s, look.steal_s, look.throttled, look.overheated, look.mhz) == (None,) * 5
    assert interference.compute_noise(look, look, 1.0) == SystemNoise()
    assert cpu.governor(tmp_path) is None and memory.peak(tmp_path) is None


def test_clocks_of_a_kernel_without_cpufreq(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\ncpu MHz\t\t: 2400.5\nprocessor : 1\ncpu MHz\t\t: 3100.0\n")
    assert cpu.mhz(tmp_path) == 3100.0


def test_this_machine() -> None:
    peak, total = memory.peak(), memory.total()
    assert peak is not None and total is not None
    assert 10 << 20 < peak < total


def test_ratios_of_alternating_rounds() -> None:
    assert stats.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert stats.spread([1.0, 4.0, 2.0], ".1f") == "2.0 [1.0 .. 4.0]"
    assert stats.quantiles([0.0, 1.0, 2.0, 3.0, 4.0], 0.25, 0.5, 0.9) == pytest.approx([1.0, 2.0, 3.6])
    assert stats.round_medians([[1.0, 2.0, 9.0], [4.0]]) == [2.0, 4.0]
    random = np.random.default_rng(3)
    slow, fast = ([list(ms * (1 + 0.05 * random.random(40))) for _ in range(5)] for ms in (30.0, 10.0))
    low, high = stats.ratio_interval(slow, fast)
    assert 2.8 < low < 3.0 < high < 3.2
    low, high = stats.ratio_interval(fast, fast)
    assert low < 1 < high, "nothing is faster than itself"
