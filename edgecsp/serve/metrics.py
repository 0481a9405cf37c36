"""Prometheus metrics of the streams, the engine, MQTT and webhooks, the process and the board.

Counters of other modules are read when metrics are scraped; only the stage times are stored here. Names and units
follow prometheus.io, "Metric and label naming".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from .. import __version__
from ..errors import EngineUnavailable
from ..system import install
from ..system.jetson import Board
from . import unexpected
from .events import Bus
from .live import StreamState

if TYPE_CHECKING:
    from .inference_pool import InferencePool
    from .mqtt import Mqtt
    from .webhooks import Webhooks

# Seconds: a classifier's decode takes 0.1 ms, YOLOv4 on one slow core 5 s.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Rows = Sequence[Tuple[Sequence[str], float]]


class Metrics:
    """All metrics of a server, in a registry of their own; `render` them.

    `facts` (engine, device, model ...) become labels of `edgecsp_engine_info`. It sets `observe` of the pool
    and of the views. `mqtt` and `webhooks` may be set later. Raises `EngineUnavailable` without prometheus-client.
    """

    def __init__(
        self,
        pool: InferencePool,
        views: Sequence[StreamState],
        bus: Optional[Bus] = None,
        *,
        facts: Optional[Mapping[str, str]] = None,
        board: Optional[Board] = None,
    ) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise EngineUnavailable(f"metrics need prometheus-client; type: {install.command('serve')}") from None
        self.mqtt: Optional[Mqtt] = None
        self.webhooks: Optional[Webhooks] = None
        self._pool, self._views, self._bus = pool, list(views), bus
        self._facts = {"version": __version__, "model": pool.model.name, **(facts or {})}
        self._board = board or Board()
        self._registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self._registry)
        self._stages = prometheus_client.Histogram(
            "edgecsp_stage_seconds",
            "Time of each stage of an image, including waiting for the engine",
            ["stage"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._by_stage: Dict[str, Any] = {}  # prometheus-client validates a name at each call
        self._registry.register(self)
        pool.observe = self.observe
        for view in self._views:
            view.observe = self.observe

    def observe(self, stage: str, seconds: float) -> None:
        """Record the duration of a stage."""
        histogram = self._by_stage.get(stage)
        if histogram is None:
            histogram = self._by_stage[stage] = self._stages.labels(stage)
        histogram.observe(seconds)

    def render(self) -> Tuple[bytes, str]:
        """Render all metrics, with the content type: Prometheus' text format 0.0.4."""
        from prometheus_client import exposition

        return exposition.generate_latest(self._registry), "text/plain; version=0.0.4; charset=utf-8"

    def describe(self) -> Iterable[Any]:
        """Return nothing to prometheus-client: the metrics are known only when they are collected."""
        return ()

    def collect(self) -> Iterator[Any]:
        """Yield the current metrics to prometheus-client, but for those of the process and the stages."""
        yield from self._of_streams()
        yield from self._of_areas()
        yield from self._of_engine()
        yield from self._of_senders()
        yield self._of_errors()
        yield from self._of_board()

    def _of_streams(self) -> Iterator[Any]:
        views = self._views
        by_view: Dict[str, Tuple[str, Callable[[StreamState], float]]] = {
            "frames": ("Frames processed", lambda view: view.frames),
            "frames_dropped": ("Frames dropped because a newer one came", lambda view: view.dropped),
            "stream_reconnects": ("Reconnects of a live source", lambda view: view.reconnects),
        }
        for name, (words, read) in by_view.items():
            yield _counter(name, words, ["stream"], [((view.name,), read(view)) for view in views])
        detections = [
            ((view.name, label), count) for view in views for label, count in sorted(view.label_counts.copy().items())
        ]
        yield _counter("detections", "Objects detected, in all frames", ["stream", "label"], detections)
        up = [((view.name,), float(view.state == "live")) for view in views]
        yield _gauge("stream_up", "1 while a stream is live", ["stream"], up)
        fps = [((view.name,), view.fps) for view in views]
        yield _gauge("stream_frames_per_second", "Frames per second, over the last three seconds", ["stream"], fps)
        late = [((view.name,), ms / 1000) for view in views for ms in [view.latency_ms] if ms is not None]
        yield _gauge("stream_latency_seconds", "Mean time from a frame's arrival to its result", ["stream"], late)

    def _of_areas(self) -> Iterator[Any]:
        counts = {view.name: view.areas.counts() for view in self._views if view.areas is not None}
        crossings = [
            ((stream, line, label, direction), number)
            for stream, both in counts.items()
            for line, ways in both["lines"].items()
            for direction, labels in ways.items()
            for label, number in labels.items()
        ]
        names = ["stream", "area", "label", "direction"]
        yield _counter("line_crossings", "Objects that crossed a line", names, crossings)
        for key, name, words, make in (
            ("entered", "zone_entries", "Objects that entered a zone", _counter),
            ("left", "zone_exits", "Objects that left a zone", _counter),
            ("time_s", "zone_seconds", "Seconds that objects were in a zone, summed", _counter),
            ("inside", "zone_objects", "Objects in a zone", _gauge),
        ):
            rows = [
                ((stream, zone, label), number)
                for stream, both in counts.items()
                for zone, values in both["zones"].items()
                for label, number in values[key].items()
            ]
            yield make(name, words, ["stream", "area", "label"], rows)

    def _of_engine(self) -> Iterator[Any]:
        pool = self._pool
        names = sorted(self._facts)
        yield _gauge(
            "engine_info",
            "Engine, device, precision and model",
            names,
            [([str(self._facts[name]) for name in names], 1)],
        )
        yield _gauge("engine_healthy", "1 while the inference session works", [], [((), float(pool.healthy))])
        yield _counter("engine_restarts", "Sessions opened to replace a failed one", [], [((), pool.restarts)])
        yield _gauge("queue_requests", "Requests waiting for the engine", [], [((), pool.depth)])
        if self._bus is not None:
            yield _gauge("event_listeners", "Listeners of events", [], [((), self._bus.listeners)])

    def _of_senders(self) -> Iterator[Any]:
        mqtt, hooks = self.mqtt, self.webhooks
        if mqtt is not None:
            yield _gauge("mqtt_connected", "1 while connected to the broker", [], [((), float(mqtt.connected))])
            yield _counter("mqtt_connects", "Connections to the broker", [], [((), mqtt.connects)])
            yield _counter("mqtt_messages_sent", "Messages acknowledged by the broker", [], [((), mqtt.sent)])
            yield _counter(
                "mqtt_messages_dropped", "Messages dropped because the spool was full", [], [((), mqtt.spool.dropped)]
            )
            yield _gauge("mqtt_messages_waiting", "Messages waiting for the broker", [], [((), len(mqtt.spool))])
        if hooks is not None:
            for name, words, of, make in (
                ("webhook_events_sent", "Events delivered to a webhook", hooks.sent, _counter),
                ("webhook_events_dropped", "Events dropped", hooks.dropped, _counter),
                ("webhook_events_waiting", "Events waiting for a webhook", hooks.waiting, _gauge),
            ):
                yield make(name, words, ["hook"], [((hook,), count) for hook, count in of.items()])

    def _of_errors(self) -> Any:
        rows = [((where,), count) for where, count in sorted(unexpected.counts().items())]
        return _counter("unexpected_errors", "Unexpected exceptions, by component", ["where"], rows)

    def _of_board(self) -> Iterator[Any]:
        temperatures = [((zone,), celsius) for zone, celsius in self._board.temperatures_c().items()]
        yield _gauge("temperature_celsius", "Temperatures reported by the board", ["zone"], temperatures)
        watts = [((rail,), value) for rail, value in self._board.rails_w().items()]
        yield _gauge("power_watts", "Power reported by the board, by rail", ["rail"], watts)
        joules = [((package,), value) for package, value in self._board.energy_j().items()]
        yield _counter("energy_joules", "Energy used by the CPU, where the kernel reports it", ["package"], joules)


def _counter(name: str, words: str, labels: Sequence[str], rows: Rows) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return _fill(CounterMetricFamily(f"edgecsp_{name}", words, labels=labels), rows)


def _gauge(name: str, words: str, labels: Sequence[str], rows: Rows) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return _fill(GaugeMetricFamily(f"edgecsp_{name}", words, labels=labels), rows)


def _fill(family: Any, rows: Rows) -> Any:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family
