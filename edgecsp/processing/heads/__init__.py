"""The kinds of heads, one file each: the fields are the metadata of the ONNX file, the methods read the output.

A new kind is a file here with a frozen dataclass derived from `decode.BoxHead`, or from `types.Head` where the result
is no boxes; `kind` is its name in files. Nothing else knows it: files of that kind are read, run, shown and compared.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import lru_cache
from typing import Dict, Type

from ...errors import BadModel
from ...types import Head


@lru_cache(maxsize=None)
def kinds() -> Dict[str, Type[Head]]:
    """List the head classes by kind."""
    modules = [importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)]
    return {
        each.kind: each
        for module in modules
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, Head) and each.__module__ == module.__name__
    }


def find(kind: object) -> Type[Head]:
    """Find a head class by its kind. Raises `BadModel`."""
    if not isinstance(kind, str) or kind not in kinds():
        raise BadModel(f"head kind {kind!r}, known are {', '.join(kinds())}; upgrade edgecsp")
    return kinds()[kind]
