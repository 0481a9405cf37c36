"""Tracks as MOTChallenge's text files, which TrackEval and motmetrics read."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Dict, Iterable, List

from ...errors import OutputError, UsageError
from ...types import Frame, Result, Stream, Tracks
from .annotated import copy_name
from .base import Sink, Target, Text


class MotSink(Sink):
    """Writes a stem.txt for each video or stream into a folder, a line for each object in a frame.

    A line is frame (from 1), track id, left, top, width, height in pixels, score, class (from 1), visibility (1). A
    name that another file has gets a number. Raises `UsageError` for what is not tracked, and `OutputError`.
    """

    def __init__(self, folder: Target, *, inputs: Iterable[str] = (), overwrite: bool = False) -> None:
        self._folder, self._overwrite = Path(folder), overwrite
        self._inputs = {os.path.realpath(path) for path in inputs}
        self._texts: Dict[Stream, Text] = {}

    def write(self, frame: Frame, result: Result) -> None:
        """Append the lines of a frame."""
        if not isinstance(result, Tracks):
            raise UsageError(f"MOT files are of videos and streams that are tracked; {frame.stream.name} is not")
        if frame.stream not in self._texts:
            self._texts[frame.stream] = self._open(copy_name(frame.stream.name, "video")[0])
        lines = []
        for each in result:
            x0, y0, x1, y1 = each.xyxy
            numbers = f"{x0:.2f},{y0:.2f},{x1 - x0:.2f},{y1 - y0:.2f},{each.score:.5f}"
            lines.append(f"{frame.index + 1},{each.track_id},{numbers},{each.class_id + 1},1\n")
        self._texts[frame.stream].write("".join(lines))

    def _open(self, stem: str) -> Text:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot create the folder {self._folder}: {error.strerror}") from error
        used = {text.path for text in self._texts.values()}
        for number in itertools.count(1):
            path = self._folder / f"{stem}{f'-{number}' * (number > 1)}.txt"
            is_taken = path in used or (os.path.lexists(path) and not self._overwrite)
            if not is_taken and os.path.realpath(path) not in self._inputs:
                break
        return Text(path)

    def end_stream(self, stream: Stream) -> None:
        """Finish the stream's file."""
        if stream in self._texts:
            self._texts[stream].close()

    def close(self) -> None:
        """Finish all files."""
        for text in self._texts.values():
            text.close()

    def abort(self) -> None:
        """Remove the files of streams that have not ended."""
        for text in self._texts.values():
            text.abort()

    @property
    def paths(self) -> List[Path]:
        """Finished files."""
        return [path for text in self._texts.values() for path in text.paths]
