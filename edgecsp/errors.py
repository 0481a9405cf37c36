"""The errors that edgecsp raises on purpose, drawn as a tree.

    EdgecspError                exit code 1
    +-- UsageError                        2   a flag or an argument that cannot be meant
    |   +-- UnknownName                   2   no engine, model, class or option of that name
    +-- SourceError                       3   an image, video, camera or URL that cannot be read
    |   +-- NoSplit                       3   a data set has no such part (train, val, test)
    +-- BadModel                          3   a cfg or an ONNX graph that is not a model we can run
    |   +-- BadWeights                    3   a weights file that does not fit its cfg
    +-- OutputError                       5   a result that cannot be written
    |   +-- ReaderGone                  141   nobody reads our output any more (`| head`): as after SIGPIPE, silent
    +-- EngineUnavailable                 6   the engine, its package or its device is not here
    +-- BuildFailed                       6   the engine refused the model
    +-- CalibrationError                  6   int8 ranges are missing or do not fit
    +-- EngineFailed                      6   the engine, opened and asked, raised or did not answer
    |   +-- SessionHung                   6   a call of it has not come back
    +-- HTTPRequestError                  1   a request to the server that is not answered; `status` is HTTP's
    |   +-- ServerOverloaded              1   too many wait already
    +-- IntegrityError                    7   a file is not the one it claims to be
    +-- Stopped                         130   the caller asked for the end; the message says how to go on

Beside them: 0 all done, 4 partly done, 8 a limit that was set is passed; 129, 130 and 143 are 128 plus the number of
the signal that ended it (SIGHUP, Ctrl-C, SIGTERM), whatever else went wrong on the way out.

A message says what was asked, what was found, and what to type next; `docs` names the heading of
docs/troubleshooting.md that says more, which the command line prints below it. Anything that is not an
`EdgecspError` is a bug of ours and may show its traceback.
"""

from __future__ import annotations

import difflib
from typing import Iterable, Optional


class EdgecspError(Exception):
    """The root: catch this to catch everything edgecsp raises on purpose."""

    exit_code = 1
    silent = False  # True: nobody is left to read a message
    docs = ""  # the anchor of a heading of docs/troubleshooting.md

    def __init__(self, *args: object, docs: str = "") -> None:
        super().__init__(*args)
        if docs:
            self.docs = docs


class UsageError(EdgecspError):
    """A flag or an argument that cannot be meant."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that nothing here bears; the message lists what does, nearest first.

    >>> raise UnknownName("class", "persn", ("car", "person"))
    Traceback (most recent call last):
    edgecsp.errors.UnknownName: no class is called 'persn'. Did you mean 'person'? Known: car, person.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"no {kind} is called {name!r}.{guess} Known: {', '.join(known) or 'none'}.")


class SourceError(EdgecspError):
    """An image, video, camera or URL that cannot be read."""

    exit_code = 3


class NoSplit(SourceError):
    """A data set has no such part: train, val or test."""


class BadModel(EdgecspError):
    """A cfg or an ONNX graph that is not a model we can run."""

    exit_code = 3


class BadWeights(BadModel):
    """A weights file that does not fit its cfg."""

    docs = "weights-do-not-fit"


class OutputError(EdgecspError):
    """A result that cannot be written."""

    exit_code = 5


class ReaderGone(OutputError):
    """The reader of our output has stopped (`| head`): end quietly, as after SIGPIPE."""

    exit_code = 141
    silent = True


class EngineUnavailable(EdgecspError):
    """The engine, its package or its device is not on this machine."""

    exit_code = 6


class BuildFailed(EdgecspError):
    """The engine refused the model."""

    exit_code = 6
    docs = "engine-refuses-the-model"


class CalibrationError(EdgecspError):
    """int8 ranges are missing or do not fit the model."""

    exit_code = 6
    docs = "int8-ranges"


class IntegrityError(EdgecspError):
    """A file is not the one it claims to be."""

    exit_code = 7
    docs = "file-changed"


class Stopped(EdgecspError):
    """The caller asked for the end before the work was done; the message says how to go on."""

    exit_code = 130


class EngineFailed(EdgecspError):
    """The engine, opened and asked, raised or did not answer."""

    exit_code = 6


class SessionHung(EngineFailed):
    """A call of the engine has not come back."""

    docs = "engine-hangs"


class HTTPRequestError(EdgecspError):
    """A request to the server that is not answered: `status` is HTTP's, `retry_after_s` when to ask again."""

    def __init__(self, status: int, text: str, retry_after_s: Optional[int] = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after_s = retry_after_s


class ServerOverloaded(HTTPRequestError):
    """Too many wait already."""

    def __init__(self, text: str, retry_after_s: int) -> None:
        super().__init__(503, text, retry_after_s)
