"""Uploads: /v1/uploads by tus 1.0 (core, creation, checksum, termination), /v1/files by forms."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import urllib.parse
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from vsr.server.refusals import Refused
from vsr.server.store.uploads import Upload
from vsr.server.web.answers import Json, when
from vsr.server.web.state import base_of, serving, who

VERSION = "1.0.0"
_TUS = {"Tus-Resumable": VERSION}
_STEP = 1 << 20  # bytes that are written at once
_NUMBER = re.compile(r"[0-9]{1,18}")


def _refuse(status: int, text: str, **headers: str) -> Refused:
    return Refused(status, text, {**_TUS, **headers})


def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        text = f"Tus-Resumable: must be {VERSION}"
        raise _refuse(412, text, **{"Tus-Version": VERSION})


def _count(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if _NUMBER.fullmatch(text) is None:
        raise _refuse(400, f"{name}: must be a number")
    return int(text)


def _upload(request: Request) -> Upload:
    try:
        return serving(request).uploads.find(request.path_params["id"], who(request))
    except Refused as error:
        raise _refuse(error.status, error.text) from error


def options(request: Request) -> Response:
    """Say what of tus is spoken: OPTIONS /v1/uploads."""
    headers = {
        **_TUS,
        "Tus-Version": VERSION,
        "Tus-Extension": "creation,termination,checksum",
        "Tus-Checksum-Algorithm": "sha256",
        "Tus-Max-Size": str(serving(request).settings.limits.upload),
    }
    return Response(status_code=204, headers=headers)


def create(request: Request) -> Response:
    """Begin an upload: POST /v1/uploads."""
    _check_version(request)
    here = serving(request)
    length, told = _count(request, "upload-length"), _metadata(request)
    if length > here.settings.limits.upload:
        raise _refuse(413, "Upload-Length: is more than this server takes")
    sha256 = told.get("sha256", "").lower() or None
    if sha256 is not None and re.fullmatch("[0-9a-f]{64}", sha256) is None:
        raise _refuse(400, "Upload-Metadata: sha256 must be 64 hexadecimal digits")
    name = told.get("filename") or told.get("name") or "film"
    upload = here.uploads.begin(
        who(request), name[:255], length, sha256=sha256, type=told.get("filetype", "")[:100]
    )
    place = f"{base_of(request)}/v1/uploads/{upload.request.id}"
    headers = {**_TUS, "Location": place, "Upload-Offset": "0"}
    return Response(status_code=201, headers=headers)


def _metadata(request: Request) -> dict[str, str]:
    found = {}
    for pair in request.headers.get("upload-metadata", "").split(","):
        name, _, value = pair.strip().partition(" ")
        try:
            found[name.lower()] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise _refuse(400, "Upload-Metadata: must be names with values in base64") from error
    return found


def head(request: Request) -> Response:
    """Say how far an upload is: HEAD /v1/uploads/{id}."""
    _check_version(request)
    upload = _upload(request)
    serving(request).uploads.settle_late(upload)
    headers = {
        **_TUS,
        "Upload-Offset": str(upload.offset),
        "Upload-Length": str(upload.request.length),
        "Cache-Control": "no-store",
    }
    return Response(headers=headers)


async def patch(request: Request) -> Response:
    """Take bytes: PATCH /v1/uploads/{id}. What has come before a line breaks is kept."""
    _check_version(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/offset+octet-stream":
        raise _refuse(415, "Content-Type: must be application/offset+octet-stream")
    upload = await run_in_threadpool(_upload, request)
    wanted = _checksum(request)
    with serving(request).uploads.writing(upload):
        begin = upload.offset
        if _count(request, "upload-offset") != begin:
            raise _refuse(409, "Upload-Offset: is not where the upload stands",
                          **{"Upload-Offset": str(begin)})  # fmt: skip
        try:
            digest = await _take(request, upload)
        except BaseException:
            if wanted is not None:  # half of it cannot be checked
                await run_in_threadpool(upload.cut, begin)
            raise
        if wanted is not None and digest != wanted:
            await run_in_threadpool(upload.cut, begin)
            raise _refuse(460, "Upload-Checksum: is another")
        try:
            await run_in_threadpool(upload.settle)
        except Refused as error:
            raise _refuse(error.status, error.text) from error
        headers = {**_TUS, "Upload-Offset": str(upload.offset)}
    return Response(status_code=204, headers=headers)


def _checksum(request: Request) -> bytes | None:
    text = request.headers.get("upload-checksum")
    if text is None:
        return None
    name, _, value = text.partition(" ")
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if name != "sha256" or len(digest) != 32:
        raise _refuse(400, "Upload-Checksum: must be sha256 and 32 bytes in base64")
    return digest


async def _take(request: Request, upload: Upload) -> bytes:
    """Write what comes; returns its sha256. Raises Refused where the line breaks, too."""
    held, digest = bytearray(), hashlib.sha256()

    async def write() -> None:
        data = bytes(held)
        held.clear()
        await run_in_threadpool(upload.write, data)
        digest.update(data)

    try:
        async for chunk in request.stream():
            held += chunk
            if len(held) >= _STEP:
                await write()
        await write()
    except ClientDisconnect as error:
        await write()
        raise _refuse(400, "the line broke") from error
    except Refused as error:
        if error.status == 408:
            await write()
        raise _refuse(error.status, error.text) from error
    return digest.digest()


def delete(request: Request) -> Response:
    """Remove an upload that no job waits for: DELETE /v1/uploads/{id}, and /v1/files/{id}."""
    if request.url.path.startswith("/v1/uploads"):
        _check_version(request)
    here, upload = serving(request), _upload(request)
    if any(job.request.source == upload.request.id and not job.state.is_ended for job in here.jobs):
        raise _refuse(409, "a job has not ended that is made of it")
    with here.uploads.writing(upload):
        here.uploads.remove(upload)
    return Response(status_code=204, headers=_TUS)


# --- files, as Replicate has them ---


async def create_file(request: Request) -> Response:
    """Take a small file that comes as the field `content` of a form: POST /v1/files."""
    here, kind = serving(request), request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise Refused(415, "the body must be multipart/form-data")
    async with request.form(max_files=1, max_fields=8) as form:
        content = form.get("content")
        if not isinstance(content, UploadFile):
            raise Refused(422, "content: must be a file")
        file, size = content, content.size or 0

        def stored() -> Upload:
            name = (file.filename or "film")[:255]
            upload = here.uploads.begin(who(request), name, size, type=file.content_type or "")
            while data := file.file.read(_STEP):
                upload.write(data)
            upload.settle()
            return upload

        upload = await run_in_threadpool(stored)
    return Json(await run_in_threadpool(_file, request, upload), status_code=201)


def get_file(request: Request) -> Response:
    """Show a file: GET /v1/files/{id}."""
    return Json(_file(request, _upload(request)))


def list_files(request: Request) -> Response:
    """Show all files: GET /v1/files."""
    scope = who(request)
    found = [up for up in serving(request).uploads if scope.sees(up.request.owner)]
    results = [_file(request, up) for up in reversed(found)]
    return Json({"previous": None, "next": None, "results": results})


def _file(request: Request, upload: Upload) -> dict[str, Any]:
    asked, keep = upload.request, serving(request).settings.limits.keep_uploads
    id = urllib.parse.quote(asked.id)
    return {
        "id": asked.id,
        "name": asked.name,
        "content_type": asked.type or "application/octet-stream",
        "size": asked.length,
        "offset": upload.offset,
        "etag": asked.id,
        "checksums": {"sha256": asked.sha256} if asked.sha256 else {},
        "metadata": {},
        "created_at": when(asked.created),
        "expires_at": when(upload.touched + keep),
        "urls": {"get": f"{base_of(request)}/v1/files/{id}"},
    }
