"""Text from outside (file names, labels, URLs, messages of others), made safe for a terminal, a log and a CSV file.

    print(text.printable(name))        # ESC, newlines, bidirectional overrides become \\x1b, \\n, \\u202e
    csv_writer.writerow([text.cell(name), 0.5])

JSON escapes these characters itself and needs nothing from here.
"""

from __future__ import annotations

import re
from typing import Any, List, Match

# C0, DEL and C1 move a terminal's cursor, clear its screen and answer for its user; the others end a line or turn the
# direction of what follows (Unicode TR36, "Bidirectional Text Spoofing"). Lone surrogates cannot be encoded.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_CELL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(match: Match[str]) -> str:
    sign = match[0]
    if sign in _NAMED:
        return _NAMED[sign]
    return f"\\x{ord(sign):02x}" if ord(sign) < 256 else f"\\u{ord(sign):04x}"


def printable(text: object) -> str:
    """Make a text one line that a terminal shows as it is: control characters and line ends become escapes."""
    return _UNSAFE.sub(_escape, str(text))


def cell(value: Any) -> Any:
    """A value of a CSV file: control characters of a text are escaped, and what a spreadsheet would compute is quoted.

    A text that begins with = + - @, a tab or a carriage return gets an apostrophe in front (OWASP, "CSV Injection").
    Numbers stay as they are, and so do the bytes of a file name that is not UTF-8.
    """
    if not isinstance(value, str):
        return value
    safe = _UNSAFE_IN_CELL.sub(_escape, value)
    return f"'{safe}" if value.startswith(_FORMULA) else safe


def traceback_lines(error: BaseException) -> List[str]:
    """The traceback of an exception, a printable line each, indented: no text in it can pass for a line of its own."""
    import traceback

    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
    return [f"    {printable(line)}" for line in lines]
