"""`edgecsp up`: serve many cameras from one configuration file."""

from __future__ import annotations

import json
from dataclasses import replace
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
    file: Optional[Path] = typer.Argument(None, help="TOML file with model, streams, address, MQTT and webhooks"),
    check: bool = typer.Option(False, "--check", help="check the file and exit"),
    schema: bool = typer.Option(False, "--schema", help="print the JSON schema of the file"),
) -> None:
    """Serve streams, page, API, MQTT and webhooks as configured in one TOML file."""
    if schema:
        from ..serve import site_keys

        _print.data(json.dumps(site_keys.schema(), indent=2))
        return
    if file is None:
        raise UsageError(f"no file given; type: {EXAMPLE}")
    from ..serve import site as site_config

    site = site_config.load(file)
    if check:
        _describe(site, file)
    else:
        _serve(site)


def _serve(site: ServerConfig) -> None:
    _serving.require()
    from .. import pipeline
    from ..media import scheduler
    from ..system import cpu

    concurrency = scheduler.default_concurrency(site.options.threads or cpu.threads())
    options = replace(site.options, concurrency=concurrency)

    def facts(detector: Detector) -> Dict[str, Any]:
        startup.print_engine(detector)
        return engine_facts(detector)

    _serving.run(
        _serving.Place(site.host, site.port, site.token), lambda: pipeline.open_detector(options),
        lambda detector: site.views(detector.model), facts=facts, queue=site["queue"], loop=site["loop"],
        broker=site.broker, mqtt_every_s=site.mqtt_every_s, hooks=site.hooks,
    )  # fmt: skip


def _describe(site: ServerConfig, file: Path) -> None:
    """Log a summary of the configuration, without credentials."""
    from ..serve import webhooks
    from ..serve.address import redact_source

    count = len(site.stream_configs)
    inform(f"{file} is valid: {count} stream{'s' * (count != 1)}, model {site.model}, at {site.host}:{site.port}")
    for each in site.stream_configs:
        inform(f"  {each.name}: {redact_source(each.uri)}", prefix=False)
    names = [site.broker.name] if site.broker is not None else []
    names += webhooks.names(site.hooks)
    if names:
        inform(f"  sends to {_options.join_names(names)}", prefix=False)
