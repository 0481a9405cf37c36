"""`edgecsp serve`: a page, an API and a session for all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

import typer

from ..cache.files import suggest_similar
from ..errors import SourceError, UsageError
from . import _options, _serving
from .render import startup

if TYPE_CHECKING:
    from ..pipeline import Detector


def command(
    source: Optional[List[str]] = typer.Argument(
        None,
        help="what is watched: videos, a camera's number, rtsp:// URLs, csi://0 ... [default: nothing, the API alone]",
    ),
    model: Optional[str] = _options.MODEL,
    weights: Optional[str] = typer.Option(None, "--weights", help="random: what was never trained; for names alone"),
    engine: str = _options.ENGINE,
    device: str = _options.DEVICE,
    threads: Optional[int] = _options.THREADS,
    precision: Optional[str] = _options.PRECISION,
    conf: Optional[float] = _options.CONF,
    iou: Optional[float] = _options.IOU,
    classes: Optional[List[str]] = _options.CLASSES,
    max_det: int = _options.MAX_DET,
    imgsz: Optional[str] = _options.IMGSZ,
    resize: Optional[str] = _options.RESIZE,
    host: str = typer.Option("127.0.0.1", "--host", help="0.0.0.0 lets others in, and needs a token"),
    port: int = typer.Option(8080, "--port", "-p", min=0, max=65535, help="0 for any that is free"),
    token_file: Optional[Path] = typer.Option(
        None, "--token-file", help="file with the token for callers [default: EDGECSP_TOKEN of the environment]"
    ),
    queue: int = typer.Option(64, "--queue", min=1, max=4096, help="requests that may wait; one more gets 503"),
    mqtt: Optional[str] = typer.Option(
        None,
        "--mqtt",
        envvar="EDGECSP_MQTT",
        help="mqtt://[user:password@]host[:port]/prefix; Home Assistant finds it there",
    ),
    webhook: Optional[List[str]] = typer.Option(
        None, "--webhook", help="a URL that is sent what is found; signed by EDGECSP_WEBHOOK_SECRET of the environment"
    ),
    no_loop: bool = typer.Option(False, "--no-loop", help="films end; else they begin again, as a camera's stand-in"),
) -> None:
    """Serve a page of what is watched, and an API for pictures, from this machine."""
    _serving.require()
    from .. import pipeline
    from ..media import scheduler
    from ..serve import mqtt as mqtt_module
    from ..serve import streams, webhooks
    from ..system import cpu

    place = _serving.Place(host, port, _token(token_file))
    broker = None if mqtt is None else mqtt_module.broker(mqtt)
    secret = os.environ.get("EDGECSP_WEBHOOK_SECRET") or None
    hooks = [webhooks.hook(url, secret=secret) for url in webhook or ()]
    name = model or pipeline.BUNDLED_MODEL
    for uri in source or ():
        streams.check(uri)

    def opened() -> Detector:
        return pipeline.load(
            name, engine, weights=weights, device=device, threads=threads, precision=precision,
            imgsz=_options.size(imgsz), resize=resize, conf=conf, iou=iou, classes=_options.words(classes),
            max_det=max_det, at_once=scheduler.default_concurrency(threads or cpu.threads()),
        )  # fmt: skip

    def facts(detector: Detector) -> Dict[str, Any]:
        startup.engine(detector)
        startup.in_vain(detector, name, timed=False)
        if model is None:
            startup.unnamed(detector, name)
        return engine_facts(detector)

    _serving.run(
        place, opened, lambda detector: streams.views(source or (), detector.settings), facts=facts, queue=queue,
        loop=not no_loop, broker=broker, hooks=hooks,
    )  # fmt: skip


def engine_facts(detector: Detector) -> Dict[str, Any]:
    """What the page and the metrics say of the engine."""
    from ..graph import precision as precisions
    from ..system import cpu

    chosen = detector.chosen
    assert chosen is not None
    return {
        "engine": chosen.engine,
        "device": chosen.device,
        "precision": chosen.precision or precisions.detect_precision(detector.model),
        "threads": chosen.threads or cpu.threads(),
    }


def _token(place: Optional[Path]) -> Optional[str]:
    """The token of the file, or of the environment. Raises `UsageError` for one that is easily guessed."""
    from ..serve import check_token, secret_files

    if place is None:
        said = os.environ.get("EDGECSP_TOKEN")
        return None if not said else check_token(said, "EDGECSP_TOKEN")
    try:
        return check_token(secret_files.read(place), str(place))
    except OSError as error:
        raise SourceError(f"cannot read {place}: {error.strerror}{suggest_similar(place)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{place} is no text: {error}") from error
