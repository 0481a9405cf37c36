"""`edgecsp serve`: serve streams and an inference API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from ..errors import SourceError, UsageError
from ..options import Options
from . import _options, _serving
from .render import startup

if TYPE_CHECKING:
    from ..pipeline import Detector


@_options.takes("serve")
def command(
    source: Optional[List[str]] = typer.Argument(
        None, help="streams: videos, a camera's number, rtsp:// URLs, csi://0 ... [default: none, only the API]"
    ),
    options: Options = _options.GROUP,
    host: str = typer.Option("127.0.0.1", "--host", help="address to listen on; 0.0.0.0 for all, which needs a token"),
    port: int = typer.Option(8080, "--port", "-p", min=0, max=65535, help="0 for any free port"),
    token_file: Optional[Path] = typer.Option(
        None, "--token-file", help="file with the token for clients [default: the variable EDGECSP_TOKEN]"
    ),
    queue: int = typer.Option(64, "--queue", min=1, max=4096, help="maximum number of waiting requests; more get 503"),
    mqtt: Optional[str] = typer.Option(
        None,
        "--mqtt",
        envvar="EDGECSP_MQTT",
        help="mqtt://[user:password@]host[:port]/prefix; with Home Assistant discovery",
    ),
    webhook: Optional[List[str]] = typer.Option(
        None, "--webhook", help="URL that receives detections, signed with the variable EDGECSP_WEBHOOK_SECRET"
    ),
    no_loop: bool = typer.Option(False, "--no-loop", help="stop at the end of a video instead of restarting it"),
) -> None:
    """Serve a web page of the streams and an inference API for images."""
    _serving.require()
    from ..serve import mqtt as mqtt_module
    from ..serve import streams, webhooks

    place = _serving.Place(host, port, _token(token_file))
    broker = None if mqtt is None else mqtt_module.broker(mqtt)
    secret = os.environ.get("EDGECSP_WEBHOOK_SECRET") or None
    hooks = [webhooks.hook(url, secret=secret) for url in webhook or ()]
    for uri in source or ():
        streams.check(uri)

    def announce(detector: Detector) -> None:
        startup.print_engine(detector)
        startup.warn_if_meaningless(detector, options.model_name, timed=False)
        if options.model is None:
            startup.print_default_model(detector, options.model_name)

    _serving.run(
        place, options, lambda detector: streams.views(source or (), detector.settings), announce=announce,
        queue=queue, loop=not no_loop, broker=broker, hooks=hooks,
    )  # fmt: skip


def _token(place: Optional[Path]) -> Optional[str]:
    """Read the token from the file or the environment. Raises `UsageError` if it is easy to guess."""
    from ..cache.files import suggest_similar
    from ..serve import check_token, secret_files

    if place is None:
        token = os.environ.get("EDGECSP_TOKEN")
        return None if not token else check_token(token, "EDGECSP_TOKEN")
    try:
        return check_token(secret_files.read(place), str(place))
    except OSError as error:
        raise SourceError(f"cannot read {place}: {error.strerror}{suggest_similar(place)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{place} is not a text file: {error}") from error
