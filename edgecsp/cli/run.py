"""`edgecsp run`: detect objects in sources."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import typer

from ..errors import UsageError
from ..options import Options
from . import _config_file, _logging, _options, _progress, _signals
from ._logging import inform, inform_written, warn
from ._print import print
from .render import area_counts, startup

if TYPE_CHECKING:
    from ..pipeline import RunSummary
    from ..track import Line, Zone
    from ..types import Frame, Result

COMMAND_CLASS = _config_file.ConfigCommand
PARTLY_DONE = 4


@_options.takes("run")
def command(
    source: List[str] = typer.Argument(
        ...,
        help="images, folders, globs, videos, a camera's number, rtsp:// or http:// URLs, csi://0, gst:PIPELINE, "
        "- for an image on stdin",
    ),
    config: Optional[str] = _config_file.CONFIG,
    options: Options = _options.GROUP,
    stride: int = typer.Option(1, "--stride", "--vid-stride", help="process every Nth frame of a video"),
    max_frames: Optional[int] = typer.Option(None, "--max-frames", help="stop after this many frames"),
    out: Optional[Path] = typer.Option(
        None, "--out", "-o", help="annotated copies: a folder, or a .mp4/.jpg/.png file [default: a new runs/N]"
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="let copies in a folder replace existing files (never a source)"
    ),
    json: Optional[str] = typer.Option(None, "--json", help="JSON Lines, an object per frame: a file, or - for stdout"),
    csv: Optional[str] = typer.Option(None, "--csv", help="CSV, one row per box; - for stdout"),
    save_json: Optional[Path] = typer.Option(None, "--save-json", help="COCO result JSON, for pycocotools"),
    save_txt: bool = typer.Option(False, "--save-txt", help="YOLO lines in labels/ beside the copies"),
    save_conf: bool = typer.Option(False, "--save-conf", help="scores in the YOLO lines"),
    save_crop: bool = typer.Option(False, "--save-crop", help="cut-outs of the boxes in crops/LABEL/"),
    save_frames: bool = typer.Option(False, "--save-frames", help="frames with boxes, as they are, in frames/"),
    track: bool = typer.Option(False, "--track", help="give the same object the same id in all frames of a video"),
    line: Optional[List[str]] = typer.Option(
        None, "--line", help="NAME:x1,y1,x2,y2[,KEY=VALUE]: count what crosses this line, in pixels or shares; tracks"
    ),
    zone: Optional[List[str]] = typer.Option(
        None, "--zone", help="NAME:x1,y1,x2,y2,x3,y3,...[,KEY=VALUE]: count what is in this polygon; tracks"
    ),
    events: Optional[str] = typer.Option(
        None, "--events", help="JSON Lines, an object per event of --line and --zone: a file, or - for stdout"
    ),
    save_mot: bool = typer.Option(False, "--save-mot", help="MOTChallenge's lines in mot/ beside the copies; tracks"),
    show: bool = typer.Option(False, "--show", help="show the frames in a window; q ends it"),
    roi: Optional[str] = typer.Option(
        None, "--roi", help="x1,y1,x2,y2, or more corners: keep boxes whose centre is in this region, pixels"
    ),
    mask: Optional[Path] = typer.Option(
        None, "--mask", help="an image, stretched over the frame: keep boxes whose centre is where it is white"
    ),
    start: Optional[float] = typer.Option(None, "--start", help="begin at this second of a video"),
    end: Optional[float] = typer.Option(None, "--end", help="end at this second of a video"),
    sink: Optional[List[str]] = typer.Option(None, "--sink", help="NAME=TARGET: an output that another package adds"),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no summary"),
) -> None:
    """Detect objects in images, videos, cameras and streams."""
    if config is not None:
        inform(f"options from {config}")
    if options.max_pixels is not None:
        _options.limit_opencv(options.max_pixels)  # before OpenCV is imported
    from .. import pipeline
    from ..media import scheduler, sinks, sources, window
    from ..media.sinks import external

    external_sinks = [external.parse(text) for text in sink or ()]
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"--max-frames {max_frames}: at least 1")
    if save_conf and not save_txt:
        raise UsageError("--save-conf adds scores to the lines of --save-txt; type both")
    lines, zones = _parse_areas(line or (), zone or ())
    if events is not None and not (lines or zones):
        raise UsageError("--events writes what happens at a --line or in a --zone; type one too")
    track = track or bool(lines or zones)
    if save_mot and not track:
        raise UsageError("--save-mot writes the ids of --track; type both")
    if show:
        window.check_display()
    keep = _limit(roi, mask)
    _signals.return_large()
    opened = sources.open_all(source, stride=stride, max_pixels=options.max_pixels or sources.MAX_PIXELS)
    if track and not any(each.moving for each in opened):
        words = "--line and --zone need" if lines or zones else "--track needs"
        raise UsageError(f"{words} a video, a camera or a stream; images have no time")
    if start is not None or end is not None:
        opened = [sources.Span(each, start, end) for each in opened]
    detector = pipeline.open_detector(replace(options, concurrency=scheduler.choose_concurrency(opened)))
    chosen = detector.chosen
    if not quiet and (options.engine == "auto" or (chosen and chosen.is_rounded)):
        startup.print_engine(detector)
    startup.warn_if_meaningless(detector, options.model_name, timed=True)
    if options.model is None and not quiet:
        startup.print_default_model(detector, options.model_name)
    summary = pipeline.RunSummary()
    with detector, sinks.open(
        out=out,
        json=json,
        csv=csv,
        coco=save_json,
        events=events,
        txt=save_txt,
        conf=save_conf,
        crops=save_crop,
        frames=save_frames,
        mot=save_mot,
        more=["track_id"] if track else [],
        show=(lambda: stop.set()) if show else None,
        external=external_sinks,
        sources=opened,
        inputs=[str(each) for each in (options.model, mask, config) if each is not None],
        overwrite=overwrite,
    ) as outputs, _signals.until_signal() as stop, _frame_bars(opened, summary, quiet) as tick:
        write: Callable[[Frame, Result], None] = outputs.write
        if not quiet and "-" not in (json, csv, events):
            write = _print_headlines(outputs.write)
        pipeline.run(
            detector, opened, write, summary, ended=outputs.end_stream, tick=tick, stop=stop, max_frames=max_frames,
            keep=keep, track=track, lines=lines, zones=zones,
        )  # fmt: skip
    if not quiet:
        _report(summary, outputs.paths)
        for note in outputs.notes:
            inform(note)
    for text in (*sources.format_problems(summary.problems), *summary.failed):
        warn(text)
    if stop.signal:
        raise typer.Exit(128 + stop.signal)
    if summary.problems or summary.failed:
        raise typer.Exit(PARTLY_DONE)


def _parse_areas(line: Sequence[str], zone: Sequence[str]) -> Tuple[List[Line], List[Zone]]:
    if not line and not zone:
        return [], []
    from ..track.areas import parse_line, parse_zone, require_unique

    lines, zones = [parse_line(text) for text in line], [parse_zone(text) for text in zone]
    require_unique([*lines, *zones])
    return lines, zones


def _limit(roi: Optional[str], mask: Optional[Path]) -> Callable[[Result, Tuple[int, int]], Result]:
    """Make what keeps the boxes of a region and a mask, where there are such."""
    from ..media import region, sources

    limits: List[Any] = [] if roi is None else [region.parse(roi)]
    if mask is not None:
        limits.append(region.Mask(sources.to_frame(mask).image))

    def keep(result: Result, hw: Tuple[int, int]) -> Result:
        for limit in limits:
            result = limit.keep(result, hw)
        return result

    return keep


def _print_headlines(write: Callable[[Frame, Result], None]) -> Callable[[Frame, Result], None]:
    """Wrap `write` to also print the headline of each image's result, for results that have one."""

    def write_and_print(frame: Frame, result: Result) -> None:
        write(frame, result)
        headline = result.headline()
        if headline and frame.stream.kind == "image":
            print(f"{frame.stream.name}: {headline}")

    return write_and_print


@contextmanager
def _frame_bars(opened: Sequence[Any], summary: RunSummary, quiet: bool) -> Iterator[Callable[[], None]]:
    """Progress bar of frames on stderr with fps and time left; with several sources also one for each.

    Hidden without a terminal.
    """
    if quiet or not _logging.is_watched():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    counts = [source.frames for source in opened]
    total = None if None in counts else sum(counts)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.1f} fps"), TimeRemainingColumn(),
    )  # fmt: skip
    with _progress.bars(*columns) as bar:
        task = bar.add_task("detecting", total=total, fps=0.0)
        begun = time.monotonic()
        lines: Dict[Any, Any] = {}  # bar and start time of each source with a frame

        def tick() -> None:
            now = time.monotonic()
            bar.update(task, completed=summary.frames, fps=summary.frames / max(1e-6, now - begun))
            for source, count in summary.by_source.items() if len(opened) > 1 else ():
                if source not in lines:
                    lines[source] = bar.add_task(_short(source.name), total=source.frames, fps=0.0), now
                line, since = lines[source]
                bar.update(
                    line, completed=count, fps=(count - 1) / max(1e-6, now - since), visible=count != source.frames
                )

        yield tick


def _short(name: str) -> str:
    """Shorten a long name to its end, which is the distinctive part."""
    return name if len(name) <= 32 else "..." + name[-29:]


def _report(summary: RunSummary, paths: Sequence[Path]) -> None:
    counts = ", ".join(f"{count} {label}" for label, count in summary.label_counts.most_common(8)) or "nothing"
    more = len(summary.label_counts) - 8
    frames = f"{summary.frames} frame" + ("s" if summary.frames != 1 else "")
    fps = summary.frames / summary.seconds if summary.seconds else 0.0
    inform(
        f"{frames} in {summary.seconds:.1f} s ({fps:.1f} fps): {counts}" + (f" and {more} more" * (more > 0)),
        prefix=False,
    )
    for stream, area in summary.areas:
        for row in area_counts.lines(area):
            inform(f"{stream}: {row}" if len(summary.areas) > 1 else row, prefix=False)
    inform_written(paths)
