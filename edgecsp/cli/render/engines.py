"""What `edgecsp engines` and `edgecsp doctor` say of the engines here."""

from __future__ import annotations

from typing import Any, Dict, List, Optional


def engines() -> List[Dict[str, Any]]:
    """One row an engine: what it is, what it needs, and on which of its devices it would run here or why not."""
    from ... import backends

    rows = []
    for name in backends.names():
        module, missing = backends.module(name), backends.missing_packages(name)
        devices = {device: backends.why_not(name, device) for device in module.DEVICES}
        rows.append(
            {
                "engine": name,
                "about": (module.__doc__ or "").strip().split("\n")[0].partition(": ")[2],
                "real": backends.is_real(name),
                "installed": not missing,
                "missing": missing,
                "runs": None in devices.values(),
                "devices": list(module.DEVICES),
                "why_not": {device: why for device, why in devices.items() if why},
                "precisions": list(module.PRECISIONS),
            }
        )
    return rows


def table(rows: List[Dict[str, Any]]) -> List[str]:
    """The rows as lines: an engine, the devices it runs on and their precisions; below it what keeps the others."""
    lines = []
    for row in rows:
        ready = [device for device in row["devices"] if device not in row["why_not"]]
        state = f"ready on {','.join(ready)}" if ready else "not ready"
        lines.append(f"{row['engine']:10} {state:16} {','.join(row['precisions']):16} {row['about']}")
        told: Dict[str, List[str]] = {}
        for device, why in row["why_not"].items():
            told.setdefault(why, []).append(device)
        lines += [f"{'':10} {','.join(devices)}: it {why}" for why, devices in told.items()]
    return lines


def auto() -> Dict[str, Optional[str]]:
    """What `--engine auto` is here and why; the engine is None where nothing runs."""
    from ... import backends
    from ...errors import EngineUnavailable

    try:
        return dict(backends.choose()._asdict())
    except EngineUnavailable as error:
        return {"engine": None, "device": None, "why": str(error)}


def tuned_lines() -> List[str]:
    """For which models "auto" is something else, or would be if what was tuned still fitted."""
    from ...backends import tuning

    lines = []
    for kept in tuning.list_tunings():
        state = "in use" if kept.stale_reason is None else kept.stale_reason
        lines.append(f"{'tuned':10} {kept.content['spec']}: {state}" if kept.content else f"{'tuned':10} {state}")
    return lines


def auto_line(chosen: Dict[str, Optional[str]]) -> str:
    """The same as a line."""
    if chosen["engine"] is None:
        return f"{'auto':10} {chosen['why']}"
    return f"{'auto':10} is {chosen['engine']} on {chosen['device']} here: {chosen['why']}"
