"""`edgecsp up`: serve many cameras from one configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from ..errors import UsageError
from . import _json, _options, _serving
from ._logging import inform

if TYPE_CHECKING:
    from ..serve.site import ServerConfig

EXAMPLE = 'edgecsp up site.toml, a file such as: [[streams]] source = "rtsp://camera/live" (see: edgecsp up schema)'


def command(
    file: Optional[Path] = typer.Argument(None, help="TOML file with model, streams, address, MQTT and webhooks"),
) -> None:
    """Serve streams, page, API, MQTT and webhooks as configured in one TOML file."""
    if file is None:
        raise UsageError(f"no file given; type: {EXAMPLE}")
    from ..serve import site

    _serve(site.load(file))


def check(file: Path = typer.Argument(..., help="the TOML file")) -> None:
    """Check the file, its credentials, model and classes without serving."""
    from ..serve import site

    loaded = site.load(file)
    _check_model(loaded)
    _describe(loaded, file)


def schema(json: Optional[str] = _json.OPTION) -> None:
    """Print the JSON schema of the file, for editors."""
    from ..serve import site_keys

    with _json.JsonOutput(json or "-") as output:
        output.write(site_keys.schema())


def _serve(site: ServerConfig) -> None:
    _serving.require()
    _serving.run(
        _serving.Place(site.host, site.port, site.token), site.options, lambda detector: site.views(detector.model),
        queue=site["queue"], loop=site["loop"], broker=site.broker, mqtt_every_s=site.mqtt_every_s, hooks=site.hooks,
        events_config=site.events_config,
    )  # fmt: skip


def _check_model(site: ServerConfig) -> None:
    """Raise what `edgecsp up` would raise for the server's packages, model, engine and classes; opens no session."""
    _serving.require()
    from .. import backends, pipeline
    from ..backends import tuning
    from ..serve import event_store

    model, options = pipeline.resolve_model(site.options), site.options
    site.views(model)
    if site.events_config is not None:
        event_store.check_folder(site.events_config.folder)
    selection = tuning.choose(
        model, options.engine, device=options.device, threads=options.threads, precision=options.precision
    )
    backends.require(selection.engine, selection.device)


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
