"""`edgecsp up`: a site of many cameras from one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

import typer

from ..errors import UsageError
from . import _options, _print, _serving
from ._logging import inform
from .render import startup
from .serve import engine_facts

if TYPE_CHECKING:
    from ..pipeline import Detector
    from ..serve.site import ServerConfig

EXAMPLE = 'edgecsp up site.toml, a file such as: [[streams]] source = "rtsp://camera/live" (see: edgecsp up --schema)'


def command(
    file: Optional[Path] = typer.Argument(None, help="the site: model, streams, where to listen, whom to tell (TOML)"),
    check: bool = typer.Option(False, "--check", help="read it, say what is wrong with it, start nothing"),
    schema: bool = typer.Option(False, "--schema", help="print the JSON schema of such files"),
) -> None:
    """Serve a site: its streams, its page and API, its messages, as one TOML file says."""
    if schema:
        from ..serve import site_keys

        _print.data(json.dumps(site_keys.schema(), indent=2))
        return
    if file is None:
        raise UsageError(f"no file; type: {EXAMPLE}")
    from ..serve import site as sites

    site = sites.load(file)
    if check:
        _describe(site, file)
    else:
        _serve(site)


def _serve(site: ServerConfig) -> None:
    _serving.require()
    from .. import pipeline
    from ..media import scheduler
    from ..system import cpu

    def opened() -> Detector:
        return pipeline.load(
            site.model, site["engine"], device=site["device"], threads=site["threads"], precision=site["precision"],
            imgsz=site["imgsz"], conf=site["conf"], iou=site["iou"], classes=site["classes"],
            at_once=scheduler.default_concurrency(site["threads"] or cpu.threads()),
        )  # fmt: skip

    def facts(detector: Detector) -> Dict[str, Any]:
        startup.engine(detector)
        return engine_facts(detector)

    _serving.run(
        _serving.Place(site.host, site.port, site.token), opened, lambda detector: site.views(detector.model),
        facts=facts, queue=site["queue"], loop=site["loop"], broker=site.broker,
        mqtt_every_s=site.mqtt_every_s, hooks=site.hooks,
    )  # fmt: skip


def _describe(site: ServerConfig, file: Path) -> None:
    """What the file comes to, without logins."""
    from ..serve import webhooks
    from ..serve.address import shown

    count = len(site.watched)
    inform(f"{file} is fit: {count} stream{'s' * (count != 1)}, model {site.model}, at {site.host}:{site.port}")
    for each in site.watched:
        inform(f"  {each.name}: {shown(each.uri)}", prefix=False)
    names = [site.broker.name] if site.broker is not None else []
    names += webhooks.names(site.hooks)
    if names:
        inform(f"  tells {_options.listed(names)}", prefix=False)
