"""A problem of a data set."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

from .lists import abbreviate


class Problem(NamedTuple):
    """Kind, message, the affected places, and whether the data is unusable because of it."""

    kind: str
    text: str
    places: Tuple[str, ...] = ()
    fatal: bool = False

    def format_line(self) -> str:
        """Format the problem as one line."""
        return f"{self.text}: {abbreviate(self.places)}" if self.places else self.text


def build_problems(kind: str, text: str, places: Sequence[str], fatal: bool = False) -> List[Problem]:
    """Build a problem if there are places; `text` has {n} for their number."""
    return [Problem(kind, text.format(n=len(places)), tuple(places), fatal)] if places else []
