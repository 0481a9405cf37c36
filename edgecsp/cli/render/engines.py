"""Engine report of `edgecsp engines` and `edgecsp doctor`."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from .._print import print


def engines() -> List[Dict[str, Any]]:
    """Collect a row for each engine: description, requirements, and whether each of its devices works here."""
    from ... import backends

    rows = []
    for name in backends.names():
        info, missing = backends.info(name), backends.missing_packages(name)
        devices = {device: backends.unavailable_reason(name, device) for device in info.devices}
        rows.append(
            {
                "engine": name,
                "about": info.summary,
                "real": not info.is_dummy,
                "installed": not missing,
                "missing": missing,
                "runs": None in devices.values(),
                "devices": list(info.devices),
                "why_not": {device: why for device, why in devices.items() if why},
                "precisions": list(info.precisions),
            }
        )
    return rows


def show(rows: List[Dict[str, Any]], chosen: Dict[str, Optional[str]]) -> None:
    """Print the engines: usable devices and precisions; below, why others are unavailable; then what "auto" means."""
    for row in rows:
        ready = [device for device in row["devices"] if device not in row["why_not"]]
        state = f"ready on {','.join(ready)}" if ready else "not ready"
        line = f"{row['engine']:10} {state:14} {','.join(row['precisions']):20} {row['about']}"
        print(line, style="good" if ready else "warning")
        devices_by_reason: Dict[str, List[str]] = {}
        for device, why in row["why_not"].items():
            devices_by_reason.setdefault(why, []).append(device)
        for why, devices in devices_by_reason.items():
            print(f"{'':10} {','.join(devices)}: it {why}")
    print(auto_line(chosen), *_tuned_lines(), sep="\n")


def auto() -> Dict[str, Optional[str]]:
    """Return what `--engine auto` and `--precision auto` mean for fp32 models; the engine is None if none works."""
    from ... import backends
    from ...errors import EngineUnavailable

    try:
        chosen = backends.choose()
    except EngineUnavailable as error:
        return {"engine": None, "device": None, "precision": None, "why": str(error)}
    native = backends.native_precision(chosen.engine, chosen.device)
    why = f"{chosen.why}; {backends.explain_precision(native)}"
    return {"engine": chosen.engine, "device": chosen.device, "precision": native or "fp32", "why": why}


def faster(chosen: Dict[str, Optional[str]]) -> List[Dict[str, Any]]:
    """Collect the engines that would be faster than the automatic choice on this CPU if they were installed."""
    from ... import backends

    if chosen["engine"] is None or chosen["device"] != "cpu":
        return []
    speeds = backends.list_faster(chosen["engine"]).items()
    return [{"engine": name, "times": times, "install": backends.install_command(name)} for name, times in speeds]


def faster_lines(rows: List[Dict[str, Any]]) -> List[str]:
    """Format the rows of `faster` as lines."""
    about = "would make models about {times:.1f} times as fast on this CPU (docs/engine-choice.md)"
    return [f"{'faster':10} {row['install']} {about.format(**row)}" for row in rows]


def _tuned_lines() -> List[str]:
    """List models with a cached tuning, and whether it applies."""
    from ...backends import tuning

    lines = []
    for cached in tuning.list_tunings():
        state = "in use" if cached.stale_reason is None else cached.stale_reason
        lines.append(f"{'tuned':10} {cached.content['spec']}: {state}" if cached.content else f"{'tuned':10} {state}")
    return lines


def auto_line(chosen: Dict[str, Optional[str]]) -> str:
    """Format the automatic choice as a line."""
    if chosen["engine"] is None:
        return f"{'auto':10} {chosen['why']}"
    return f"{'auto':10} is {chosen['engine']} on {chosen['device']} in {chosen['precision']} here: {chosen['why']}"
