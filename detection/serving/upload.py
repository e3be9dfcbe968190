"""The body of a request -> the bytes of its one file, never more than are allowed.

The body is the file itself, or multipart/form-data with one file.  The name that a client gives its
file is not looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from detection.serving.limits import FORM_BYTES, Limits
from detection.serving.refusal import ClientGone, Refusal
from detection.serving.uploads import Upload

HOW = "send the bytes of a picture as image/jpeg, or as the file of a multipart/form-data form"
_FORM = "multipart/form-data"


class _InMemory(MultiPartParser):
    """Starlette's parser, which writes nothing to the disk: the body is limited already."""

    spool_max_size = 1 << 40


async def read_upload(request: Request, upload: Upload, limits: Limits) -> bytes:
    """``upload``: its place, which learns how far it is.

    Raises :class:`Refusal` for what is no file, too large or too slow; :class:`ClientGone`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = kind == _FORM
    if not (is_form or kind in ("", "application/octet-stream") or kind.startswith("image/")):
        raise Refusal(415, f"the content type {kind[:60]!r} is not taken: {HOW}")
    most = limits.max_bytes + (FORM_BYTES if is_form else 0)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.upload_seconds) as upload.reading:
            body = _limited(request, upload, most, limits)
            data = await (_file(request, body) if is_form else _all(body))
    except TimeoutError:
        raise _too_slow(upload, limits) from None
    except ClientDisconnect:
        raise ClientGone from None
    finally:
        upload.reading = None
    if len(data) > limits.max_bytes:
        raise _too_large(limits)
    if not data:
        raise Refusal(400, f"there is no picture in the request: {HOW}")
    return data


async def _limited(
    request: Request, upload: Upload, most: int, limits: Limits
) -> AsyncGenerator[bytes, None]:
    """The body as it comes, whatever its length was said to be."""
    async for chunk in request.stream():
        upload.size += len(chunk)
        if upload.size > most:
            raise _too_large(limits)
        yield chunk


async def _all(body: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([chunk async for chunk in body])


async def _file(request: Request, body: AsyncGenerator[bytes, None]) -> bytes:
    parser = _InMemory(request.headers, body, max_files=1, max_fields=8, max_part_size=FORM_BYTES)
    try:
        form: FormData = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise Refusal(400, "one picture a request: send each of several alone") from None
        raise Refusal(
            400, f"the form cannot be read ({error.message.rstrip('.')}): {HOW}"
        ) from None
    try:
        for _, part in form.multi_items():
            if isinstance(part, UploadFile):
                return await part.read()
    finally:
        await form.close()
    raise Refusal(400, f"the form has no file: {HOW}")


def _too_slow(upload: Upload, limits: Limits) -> Refusal:
    if upload.gave_way:
        return Refusal(
            408, "the picture came slowly, and others were waiting: send it again", retry_after=10
        )
    return Refusal(
        408, f"the picture did not arrive within {limits.upload_seconds:g} seconds: send it again"
    )


def _too_large(limits: Limits) -> Refusal:
    return Refusal(
        413,
        f"the picture has more than {limits.max_bytes:,} bytes, which is all that is taken: send a "
        "smaller one",
    )
