"""OpenAPI 3.0 description of the routes, for `/openapi.json` and `/docs`, assembled from the declarations in `schemas`.

A test compares it with `app.routes`.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from .. import __version__
from .schema import OPENAPI, Declared, Shape, components, shape_schema, to_schema
from .schemas import ERROR, JSON, OPERATIONS, Operation

_MEANING = {
    400: "The request is invalid; `error` says why",
    401: "A token is needed",
    403: "The request comes from another site's page, or names a host that is not this server",
    404: "Not found",
    408: "The body did not arrive in time",
    413: "The body or the image is too large",
    415: "The content type is not supported",
    416: "The range lies behind the end",
    429: "Too many connections from this address without a valid token",
    431: "The header or its Cookie is too large",
    500: "Unexpected error; the server's log has the traceback",
    503: "The server is overloaded, or the engine is restarting; see Retry-After",
}
_ANYWHERE = (403, 429, 431, 500)  # possible for every route


def statuses(operation: Operation) -> Dict[int, str]:
    """Return the statuses of an operation's refusals, with their meaning."""
    # Any body may be invalid, and any request may be refused.
    of_body = (400, 408, 413, 503) if operation.body else (400,)
    of_all = () if operation.open_to_all else (401,)
    return {code: _MEANING[code] for code in sorted({*operation.refusals, *_ANYWHERE, *of_all, *of_body})}


def document(
    model: str, streams: Sequence[str] = (), files: Sequence[str] = (), origin: str = "http://localhost:8080"
) -> Dict[str, Any]:
    """Build the OpenAPI document; `model`, `streams` and `files` (of the page) are the existing names.

    `origin` is the server's address as its caller reaches it.
    """
    names = {"model": [model], "version": ["1"], "name": list(streams), "file": list(files), "id": []}
    paths: Dict[str, Dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation, names)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "edgecsp",
            "version": __version__,
            "description": f"Object detection in images and streams with {model}. Example: "
            f"`curl --data-binary @dog.jpg -H 'Content-Type: image/jpeg' {origin}/v1/detect`",
        },
        "tags": [{"name": name} for name in ("detect", "streams", "areas", "kserve", "server", "page")],
        "paths": paths,
        "components": {
            "schemas": {shape.name: shape_schema(shape, OPENAPI) for shape in declared_shapes()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def declared_shapes() -> List[Shape]:
    """List the named objects of all routes."""
    declared: List[Declared] = [ERROR]
    for operation in OPERATIONS:
        declared += [*operation.answers.values(), *operation.body.values(), *filter(None, operation.refusals.values())]
    return components(declared)


def _describe(operation: Operation, names: Mapping[str, List[str]]) -> Dict[str, Any]:
    described: Dict[str, Any] = {"tags": [operation.tag], "summary": operation.summary}
    if operation.parameters:
        described["parameters"] = [
            {
                "name": name,
                "in": where,
                "required": where == "path",
                "schema": _parameter_schema(declared, names[name] if where == "path" else []),
                "description": declared.description,
                # A list is separated by commas.
                **({"style": "form", "explode": False} if declared.kind == "texts" else {}),
            }
            for name, where, declared in operation.parameters
        ]
    if operation.body:
        described["requestBody"] = {"required": True, "content": _content(operation.body)}
    described["responses"] = {
        "200": {"description": "OK", "content": _content(operation.answers)},
        **{
            str(code): {"description": meaning, "content": {JSON: {"schema": _refusal(operation.refusals.get(code))}}}
            for code, meaning in statuses(operation).items()
        },
    }
    if operation.open_to_all:
        described["security"] = []
    return described


def _refusal(own: Optional[Shape]) -> Dict[str, Any]:
    error = to_schema(ERROR, OPENAPI)
    return {"anyOf": [to_schema(own, OPENAPI), error]} if own else error


def _content(kinds: Mapping[str, Declared]) -> Dict[str, Any]:
    return {kind: {"schema": to_schema(declared, OPENAPI)} for kind, declared in kinds.items()}


def _parameter_schema(declared: Any, names: List[str]) -> Dict[str, Any]:
    schema = to_schema(declared, OPENAPI)
    schema.pop("description", None)  # it is the parameter's
    return {**schema, "enum": names} if names else schema
