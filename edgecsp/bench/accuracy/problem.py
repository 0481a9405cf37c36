"""Something that is wrong with a data set."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

from .lists import few


class Problem(NamedTuple):
    """Its kind, in words how much of it, the places, and whether the data cannot be used so."""

    kind: str
    text: str
    places: Tuple[str, ...] = ()
    fatal: bool = False

    def line(self) -> str:
        """All in one line."""
        return f"{self.text}: {few(self.places)}" if self.places else self.text


def problems(kind: str, text: str, places: Sequence[str], fatal: bool = False) -> List[Problem]:
    """A problem, if there is a place of it: `text` says at how many, as {n}."""
    return [Problem(kind, text.format(n=len(places)), tuple(places), fatal)] if places else []
