"""The API as documents: an input as JSON Schema, made of the table of options, and OpenAPI."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

from vsr.options import OptionField
from vsr.server.inputs import fields
from vsr.version import __version__

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_TYPES: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str: {"type": "string"},
    Path: {"type": "string"},
}


@cache
def input_schema() -> Mapping[str, Any]:
    """Return what the `input` of a job may hold, as JSON Schema 2020-12."""
    named = {name: _option(leaf) for name, leaf in fields().items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Input",
        "type": "object",
        "required": ["source"],
        "properties": {
            "source": {
                **_TEXT,
                "description": "What is upscaled: a path in a folder that the server reads, "
                "`upload:ID` or an upload's address; an http address, where the server allows it.",
            },
            "output": {
                **_TEXT,
                "description": "The result's name; its suffix chooses the container.",
            },
            "for": {**_TEXT, "description": "A preset of /v1/presets; other options go before it."},
            "compare": {
                "type": "array",
                "items": _TEXT,
                "description": "Of a preview: OPTION=VALUE,VALUE to be tried, too.",
            },
            "at": {
                "type": "array",
                "items": _TEXT,
                "description": "Of a preview: times to look at, 90, 1:30 or 240f for a frame.",
            },
            "seconds": {
                "type": "number",
                "minimum": 0,
                "maximum": 600,
                "description": "Of a preview: about what each setting may take.",
            },
            **named,
        },
        "additionalProperties": False,
    }


def _option(leaf: OptionField) -> dict[str, Any]:
    told = leaf.option
    found = dict(_kind(leaf))
    if leaf.default == ():
        found = {"type": "array", "items": found}
    elif leaf.default is not None:
        found["default"] = str(leaf.default) if isinstance(leaf.default, Fraction) else leaf.default
    found["description"] = re.sub(r"\s+", " ", told.help)
    found["x-group"] = leaf.path.partition(".")[0]
    found["x-common"] = told.common
    return found


def _kind(leaf: OptionField) -> Mapping[str, Any]:
    kind, told = leaf.inner_type, leaf.option
    if typing.get_origin(kind) is Literal:
        words = [*typing.get_args(kind)]
        return {"enum": words}
    if told.parse is None:
        return _TYPES[kind]
    text = {**_TEXT, "x-like": told.metavar or ""}
    if kind in (int, float, Fraction):
        number = {"type": "integer" if kind is int else "number"}
        return {"anyOf": [number, text]}
    if typing.get_args(kind) == (int, int):
        pair = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
        return {"anyOf": [text, pair]}
    return text


_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_JOB = {"$ref": "#/components/schemas/Job"}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_PAGED = {"type": ["string", "null"]}


def openapi(base: str) -> dict[str, Any]:
    """Return the API as an OpenAPI 3.1 document. `base`: the server's address."""
    input_ = {name: value for name, value in input_schema().items() if name != "$schema"}
    properties = input_["properties"].items()
    input_["properties"] = {k: v if k == "source" else _or_null(v) for k, v in properties}
    return {
        "openapi": "3.1.0",
        "info": {"title": "vsr", "version": __version__, "description": "docs/http-api.md"},
        "servers": [{"url": base}],
        "security": [{}, {"token": []}],
        "paths": {**_job_paths(), **_upload_paths(), **_other_paths()},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Input": input_,
                "JobRequest": _job_request(),
                "Job": _job(),
                "Problem": {
                    "type": "object",
                    "required": ["title", "status", "detail"],
                    "properties": {
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                },
            },
        },
    }


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of what may also be null, which is as if it were not there."""
    return {"anyOf": [schema, {"type": "null"}]}


def _job_request() -> dict[str, Any]:
    events = ["start", "output", "logs", "completed"]
    return {
        "type": "object",
        "required": ["input"],
        "properties": {
            "input": {"$ref": "#/components/schemas/Input"},
            "task": {"enum": ["upscale", "preview"], "default": "upscale"},
            "version": _or_null(
                {"type": "string", "description": "A model, where the input names none."}
            ),
            "priority": _or_null({"type": "integer", "minimum": -100, "maximum": 100}),
            "deadline": _or_null({"type": "integer", "minimum": 1, "description": "In seconds."}),
            "webhook": _or_null({"type": "string", "format": "uri"}),
            "webhook_events_filter": _or_null({"type": "array", "items": {"enum": events}}),
        },
    }


def _job() -> dict[str, Any]:
    text, maybe = {"type": "string"}, {"type": ["string", "null"]}
    statuses = ["starting", "processing", "succeeded", "failed", "canceled", "aborted"]
    return {
        "type": "object",
        "required": ["id", "status", "task", "input", "output", "error", "created_at", "urls"],
        "properties": {
            "id": text,
            "status": {"enum": statuses},
            "task": {"enum": ["upscale", "preview"]},
            "model": text,
            "version": text,
            "input": {"type": "object"},
            "output": maybe,
            "output_name": maybe,
            "error": maybe,
            "logs": maybe,
            "metrics": {"type": "object"},
            "priority": {"type": "integer"},
            "deadline": maybe,
            "created_at": text,
            "started_at": maybe,
            "completed_at": maybe,
            "urls": {"type": "object", "additionalProperties": text},
        },
    }


def _answers(*codes: int, **good: Any) -> dict[str, Any]:
    """Return responses: those that went well by `good` (`_200`), and problems."""
    found = {name.lstrip("_"): value for name, value in good.items()}
    for code in (400, 401, 403, 421, *codes):
        problem = {"description": "refused", "content": {"application/json": {"schema": _PROBLEM}}}
        # Starlette itself answers some in plain text.
        problem["content"]["text/plain"] = {"schema": {"type": "string"}}  # type: ignore[index]
        found[str(code)] = problem
    return found


def _json(schema: Any, description: str = "done") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _text(kind: str) -> dict[str, Any]:
    return {"description": "done", "content": {kind: {"schema": {"type": "string"}}}}


def _list_of(schema: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["previous", "next", "results"],
        "properties": {
            "previous": _PAGED,
            "next": _PAGED,
            "results": {"type": "array", "items": schema},
        },
    }


def _job_paths() -> dict[str, Any]:
    ref = {"$ref": "#/components/schemas/JobRequest"}
    body = {"required": True, "content": {"application/json": {"schema": ref}}}
    created = {"_200": _json(_JOB), "_201": _json(_JOB), "_202": _json(_JOB)}
    refused = (408, 409, 413, 415, 422, 429, 507)
    prefer = {"name": "Prefer", "in": "header", "schema": {"type": "string"}}
    one = {"parameters": [_ID]}
    range_ = {"name": "Range", "in": "header", "schema": {"type": "string"}}
    last = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}
    begin = {"name": "from", "in": "query", "schema": {"type": "string"}}
    size = {"type": "integer", "minimum": 1, "maximum": 1000}
    html = _text("text/html")
    paging = [
        {"name": "limit", "in": "query", "schema": size},
        {"name": "cursor", "in": "query", "schema": {"type": "string"}},
    ]  # fmt: skip
    text = {"type": "string"}
    event = {"type": "object", "properties": {"id": text, "event": text, "data": text}}
    events = {"description": "done", "content": {"text/event-stream": {"schema": event}}}
    bytes_ = _text("*/*")
    file = {"parameters": [range_], "responses": _answers(404, 416, _200=bytes_, _206=bytes_)}
    return {
        "/v1/jobs": {
            "get": {"parameters": paging, "responses": _answers(422, _200=_json(_list_of(_JOB)))},
            "post": {
                "parameters": [prefer],
                "requestBody": body,
                "responses": _answers(*refused, **created),
            },
        },
        "/v1/jobs/{id}": {
            **one,
            "get": {"responses": _answers(404, _200=_json(_JOB))},
            "put": {
                "parameters": [prefer],
                "requestBody": body,
                "responses": _answers(*refused, **created),
            },
            "delete": {"responses": _answers(404, 409, _204={"description": "done"})},
        },
        "/v1/jobs/{id}/cancel": {**one, "post": {"responses": _answers(404, _200=_json(_JOB))}},
        "/v1/jobs/{id}/events": {
            **one,
            "get": {"parameters": [last, begin], "responses": _answers(404, _200=events)},
        },
        "/v1/jobs/{id}/stream": {
            **one,
            "get": {"parameters": [last, begin], "responses": _answers(404, _200=events)},
        },
        "/v1/jobs/{id}/output": {**one, "get": file},
        "/v1/jobs/{id}/source": {**one, "get": file},
        "/v1/jobs/{id}/preview": {**one, "get": {"responses": _answers(404, _200=html)}},
    }  # fmt: skip


def _upload_paths() -> dict[str, Any]:
    def header(name: str, **schema: Any) -> dict[str, Any]:
        return {"name": name, "in": "header", "required": True, "schema": schema}

    version = header("Tus-Resumable", enum=["1.0.0"])
    length = header("Upload-Length", type="integer", minimum=0)
    offset = header("Upload-Offset", type="integer", minimum=0)
    none = {"description": "done"}
    data = {"application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    form = {
        "type": "object",
        "required": ["content"],
        "properties": {"content": {"type": "string", "format": "binary"}},
    }
    file, one = {"type": "object", "required": ["id", "urls"]}, {"parameters": [_ID]}
    return {
        "/v1/uploads": {
            "options": {"responses": _answers(_204=none)},
            "post": {
                "parameters": [version, length],
                "responses": _answers(412, 413, 429, 507, _201=none),
            },
        },
        "/v1/uploads/{id}": {
            **one,
            "head": {"parameters": [version], "responses": _answers(404, 412, _200=none)},
            "patch": {
                "parameters": [version, offset],
                "requestBody": {"required": True, "content": data},
                "responses": _answers(404, 408, 409, 412, 413, 415, 423, 460, 507, _204=none),
            },
            "delete": {
                "parameters": [version],
                "responses": _answers(404, 409, 412, 423, _204=none),
            },
        },
        "/v1/files": {
            "get": {"responses": _answers(_200=_json(_list_of(file)))},
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"multipart/form-data": {"schema": form}},
                },
                "responses": _answers(408, 413, 415, 422, 429, 507, _201=_json(file)),
            },
        },
        "/v1/files/{id}": {
            **one,
            "get": {"responses": _answers(404, _200=_json(file))},
            "delete": {"responses": _answers(404, 409, 423, _204=none)},
        },
    }


def _other_paths() -> dict[str, Any]:
    thing: dict[str, Any] = {"type": "object"}
    return {
        "/v1/models": {"get": {"responses": _answers(_200=_json(_list_of(thing)))}},
        "/v1/presets": {"get": {"responses": _answers(_200=_json(_list_of(thing)))}},
        "/v1/schema": {"get": {"responses": _answers(_200=_json(thing))}},
        "/v1/openapi.json": {"get": {"responses": _answers(_200=_json(thing))}},
        "/v1/webhooks/default/secret": {"get": {"responses": _answers(_200=_json(thing))}},
        "/v1/session": {
            "get": {"responses": _answers(_200=_json(thing))},
            "post": {"responses": _answers(_200=_json(thing))},
            "delete": {"responses": _answers(_204={"description": "done"})},
        },
        "/healthz": {"get": {"responses": _answers(503, _200=_json(thing))}},
        "/metrics": {"get": {"responses": _answers(_200=_text("text/plain"))}},
    }
