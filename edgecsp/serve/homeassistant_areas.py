"""MQTT discovery messages for the lines and zones of a stream: sensors of their counts, and device triggers.

Source: home-assistant.io, "MQTT sensor" and "MQTT device trigger".
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from ..track import Zone
from .areas import Area, StreamAreas
from .homeassistant import Ids, area_name, common_fields, while_live


def messages(
    discovery: str, prefix: str, title: str, areas: StreamAreas, ids: Ids
) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield topics and JSON objects of the lines and zones of a stream."""
    node = ids.node(areas.stream)
    common = common_fields(prefix, areas.stream, title, node)
    every_area: Sequence[Area] = (*areas.lines, *areas.zones)
    for area in every_area:
        own = area_name(area.name)
        for what, path, fields in _sensors(area):
            yield (
                f"{discovery}/sensor/{node}_areas/{own}_{what}/config",
                {
                    **while_live(common),
                    "name": f"{area.name} {what}",
                    "unique_id": f"{node}_areas_{own}_{what}",
                    "icon": "mdi:counter",
                    "value_template": f"{{{{ value_json.areas.{path}.values() | sum }}}}",
                    **fields,
                },
            )
        for kind, direction in _triggers(area):
            what = f"{kind} {direction}".strip()
            trigger = {
                "automation_type": "trigger",
                "topic": f"{prefix}/{areas.stream}/areas/{area.name}/{kind}",
                "type": what,
                "subtype": area.name,
                "device": common["device"],
                "origin": common["origin"],
            }
            if direction:
                trigger.update(payload=direction, value_template="{{ value_json.direction }}")
            yield f"{discovery}/device_automation/{node}_areas/{own}_{what.replace(' ', '_')}/config", trigger


def _sensors(area: Area) -> List[Tuple[str, str, Dict[str, Any]]]:
    """What is counted, where it is in the counts, and fields of its sensor."""
    table, keys = ("zones", ("inside", "entered")) if isinstance(area, Zone) else ("lines", ("in", "out"))
    name = json.dumps(area.name, ensure_ascii=False)
    return [
        (key, f'{table}.get({name}, {{}}).get("{key}", {{}})',
         {"state_class": "measurement" if key == "inside" else "total_increasing"})
        for key in keys
    ]  # fmt: skip


def _triggers(area: Area) -> List[Tuple[str, str]]:
    """Kinds of events of a line or zone, with the direction or ""."""
    if not isinstance(area, Zone):
        return [("cross", "in"), ("cross", "out")]
    kinds = ["enter", "leave", *["dwell"] * (area.dwell_s is not None), *["count"] * (area.max_count is not None)]
    return [(kind, "") for kind in kinds]
