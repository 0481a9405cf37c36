"""Names of classes as class ids."""

from __future__ import annotations

from typing import List, Sequence

from ..errors import UnknownName


def find_class_ids(names: Sequence[str], words: Sequence[str], kind: str) -> List[int]:
    """Class ids for names, in any letter case, or numbers. Raises `UnknownName` of that `kind`.

    >>> find_class_ids(("cat", "dog"), ("Dog", "0"), "class")
    [1, 0]
    """
    ids = []
    by_name = {name.lower(): i for i, name in reversed(list(enumerate(names)))}
    for word in words:
        key = word.strip().lower()
        if key in by_name:
            ids.append(by_name[key])
        elif key.isdecimal() and int(key) < len(names):
            ids.append(int(key))
        else:
            raise UnknownName(kind, word.strip(), by_name)
    return ids
