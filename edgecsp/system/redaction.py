"""URLs, and texts that quote them, without what should not be read over a shoulder: logins, keys, tokens.

redact("rtsp://eve:hunter2@door/live?sessionid=7")            # rtsp://door/live?sessionid=***
redact_text("cannot open rtsp://eve:hunter2@door/live")       # cannot open rtsp://door/live
handler.addFilter(RedactionFilter())                          # the same for all that a log handler writes
"""

from __future__ import annotations

import logging
import re
from typing import Match

from .text import traceback_lines

# What a GStreamer element, or a program that quotes one, calls what should not be read.
SECRET_NAME = (
    r"(?:[\w-]{0,32}?(?:user|login|pass|pwd|pw|token|key|auth|secret|session|credential|signature)[\w-]{0,32}"
    r"|\bsig|\bcode|\bsid)"
)
_PARAMETER = (
    r"user(?:name|id)?|usr|login|pass(?:word|wd|phrase)?|pwd|pw|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|key|auth|"
    r"authorization|secret|sig|signature|credential|session(?:[_-]?(?:id|key))?|sess(?:id)?|sid|streamid"
)
# A code is a secret in a query (OAuth); in a path it may be the folder of a data set, country code=49.
_SECRET = re.compile(
    rf"((?:(?:^|[/?&;_])[\w-]{{0,32}}?(?:{_PARAMETER})|[?&;][\w-]{{0,32}}?code)=).*?(?=[&;#]|_\w+=|$)", re.IGNORECASE
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\"'<>]+")
# RAY_AUTH_MODE=token says how, not what.
_FIELD = re.compile(rf"(?<![\w-])(?![\w-]*_MODE=)({SECRET_NAME}=)(\"[^\"]*\"|'[^']*'|\S+)", re.IGNORECASE)

# Cameras, recorders and broadcasters whose URL's path is the key. In a store (s3://) it is a file's name.
_KEYED_BY_PATH = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https")
_NAMED_SEGMENT = re.compile(
    r"(?:access_?)?(?:token|key|auth|secret|sig|signature|session|pass(?:word|wd))", re.IGNORECASE
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_STREAM_KEY = re.compile(r"[a-z0-9]{4}(?:-[a-z0-9]{4}){3,}", re.IGNORECASE)
_HEX = re.compile(r"(?=.*\d)(?=.*[a-f])[0-9a-f]{16,}", re.IGNORECASE)
_COMMIT, _COMMIT_HOSTS = re.compile(r"[0-9a-f]{40}"), ("github.com", "raw.githubusercontent.com")
_BOT = re.compile(r"bot\d+:.+")
_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[A-Z][A-Z])(?=[a-z])")
_LEAST_SECRET = 16


def redact(url: str, *, in_path: bool = True) -> str:
    """A URL without user and password, and with *** for the values of parameters like password=, accessKey=, sig=.

    `in_path`: *** also for what looks like a key among the path's segments: a UUID, long hex, long mixed letters and
    digits, a stream key, whatever follows /token/. A last segment with an extension is a file's name and stays, and so
    does the commit in a URL of GitHub.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password with an unescaped / ? # or @ moves the end of the authority: better lose a path than show it.
    if "@" in authority or ":" in authority.rpartition("]")[2]:
        rest = rest.rpartition("@")[2]
    if in_path and scheme.lower() in _KEYED_BY_PATH:
        rest = _without_keys(rest)
    return f"{scheme}://{_SECRET.sub(_star, rest)}"


def redact_text(text: str) -> str:
    """A text with its URLs redacted, and *** for fields like user-pw=, as GStreamer's pipelines have them."""
    redacted, at = [], 0
    for match in _URL.finditer(text):
        redacted += [_FIELD.sub(_star, text[at : match.start()]), redact(match[0])]
        at = match.end()
    return "".join([*redacted, _FIELD.sub(_star, text[at:])])


class RedactionFilter(logging.Filter):
    """A filter for handlers: no record that passes quotes a login, a key or a token, in its message or its traceback.

    It goes on a handler: a filter on a logger does not see the records of the loggers below it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place; it always passes."""
        record.msg, record.args = _redact_lines(record.getMessage()), None
        if record.exc_info and record.exc_info[1] is not None:
            # `logging.Formatter` takes `exc_text` where it is set, and formats the exception itself where it is not.
            record.exc_text = "\n".join(map(redact_text, traceback_lines(record.exc_info[1])))
        elif record.exc_text:
            record.exc_text = _redact_lines(record.exc_text)
        if record.stack_info:
            record.stack_info = _redact_lines(record.stack_info)
        return True


def _redact_lines(text: str) -> str:
    return "".join(map(redact_text, text.splitlines(keepends=True)))


def _star(match: Match[str]) -> str:
    return f"{match.group(1)}***"


def _without_keys(rest: str) -> str:
    """The part of a URL behind its scheme, with *** for the path's segments that look like keys."""
    end = min((at for at in (rest.find("?"), rest.find("#")) if at >= 0), default=len(rest))
    host, *segments = rest[:end].split("/")
    redacted = [host]
    for number, segment in enumerate(segments):
        is_file = number == len(segments) - 1 and bool(re.search(r"\.[A-Za-z]\w{1,4}$", segment))
        follows = number > 0 and bool(_NAMED_SEGMENT.fullmatch(segments[number - 1]))
        is_public = is_file or (host in _COMMIT_HOSTS and bool(_COMMIT.fullmatch(segment)))
        is_key = bool(segment) and not is_public and "=" not in segment and (follows or is_random(segment))
        redacted.append("***" if is_key else segment)
    return "/".join(redacted) + rest[end:]


def is_random(word: str) -> bool:
    """Whether a word looks like a key: what nobody would choose for a name."""
    if any(kind.fullmatch(word) for kind in (_UUID, _STREAM_KEY, _HEX, _BOT)):
        return True
    if len(word) < _LEAST_SECRET or not re.fullmatch(r"[A-Za-z0-9_~+.=%-]+", word):
        return False
    # In a name a capital or a number begins every fifth letter at most: CamelCase, h264Preview_01_main.
    if len(_BREAK.findall(word)) * 5 >= len(word):
        return True
    kinds = [re.search(kind, word) for kind in ("[a-z]", "[A-Z]", "[0-9]")]
    # Letters and digits take turns in a key; in a name there is a number at a word's end.
    turns = len(re.findall(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])", word))
    return (all(kinds) and turns >= (2 if word.isalnum() else 3)) or turns >= 4
