"""The notary's HTTP API. Errors are problem documents (RFC 9457) whose `detail` says what to do."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from muniment.database.errors import DiskFullError
from muniment.kernel.encoding import parse_json
from muniment.kernel.errors import InputError, MunimentError, TemporaryError
from muniment.notary.errors import RefusedUploadError, UnknownFileError
from muniment.notary.intake import expected_digest, take_raw
from muniment.notary.multipart import take_multipart
from muniment.notary.readiness import Readiness
from muniment.notary.service import Notary
from muniment.notary.values import FileView, State

DEFAULT_WAIT_SECONDS: Final = 30.0
LONGEST_WAIT_SECONDS: Final = 300.0
MAX_QUESTION_BYTES: Final = 8 * 2**20
"""A list of identifiers that is longer than this is refused."""

MAX_KEY_BYTES: Final = 256
DRAIN_BYTES: Final = 16 * 2**20
"""So much of a refused upload is still read: a client that is cut off while it sends may not see the answer."""

LINES_AT_A_TIME: Final = 100
CAUSE_HEADER: Final = "X-Muniment-Cause"
_PROBLEM = "application/problem+json"
_NDJSON = "application/x-ndjson"
_WAITABLE = {State.STORED.word: State.STORED, State.ANCHORED.word: State.ANCHORED}


class Api:
    """The handlers. They read requests themselves: a model per file would cost more than all the rest."""

    def __init__(self, notary: Notary, readiness: Readiness, version: str) -> None:
        self._notary = notary
        self._readiness = readiness
        self._version = version

    def app(self) -> FastAPI:
        """The ASGI application."""
        app = FastAPI(
            title="muniment notary",
            version=self._version,
            exception_handlers={MunimentError: self._refuse, HTTPException: _refuse_http},
        )
        # A plain route: FastAPI's own resolve parameters for every call, which costs as much as a small upload.
        app.add_route("/v1/files", self.upload, methods=["POST"])
        app.add_api_route("/v1/files/{identifier}", self.file, response_class=JSONResponse)
        app.add_api_route("/v1/states", self.states, methods=["POST"], response_class=JSONResponse)
        app.add_api_route("/v1/receipts", self.receipts, methods=["POST"], response_class=StreamingResponse)
        app.add_api_route("/v1/receipts/{identifier}", self.receipt, response_class=JSONResponse)
        app.add_api_route("/live", self.live, response_class=JSONResponse)
        app.add_api_route("/ready", self.ready, response_class=JSONResponse)
        app.add_api_route("/metrics", self.metrics, response_class=Response)
        return app

    async def upload(self, request: Request) -> Response:
        """Accept files: multipart/form-data with parts named `file`, or one raw body with `?name=`.

        A part (or the raw request) may carry `X-Content-SHA256`; `Idempotency-Key` makes a repetition answer the same
        files. The request is accepted whole or not at all, and durable when it is answered. `?wait=stored|anchored`
        with `timeout` (seconds) answers later.
        """
        wait = _wait(request)
        key = _key(request)
        upload = self._notary.upload()
        body = request.stream()
        try:
            content_type = request.headers.get("content-type", "")
            if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
                await take_multipart(upload, content_type, body)
            else:
                expected = expected_digest(request.headers.get("x-content-sha256"))
                await take_raw(upload, request.query_params.get("name", ""), expected, body)
            draft = await upload.complete()
        except ClientDisconnect:
            self._notary.metrics.refused(HTTPStatus.BAD_REQUEST)
            return _problem(HTTPStatus.BAD_REQUEST, "the upload was cut off")
        except MunimentError:
            await _drain(body)
            raise
        finally:
            upload.abandon()
        files = await self._notary.accept(draft, key)
        if wait is not None:
            files = await self._notary.files([file.id for file in files], *wait)
        return JSONResponse({"files": [_shown(file) for file in files]}, HTTPStatus.ACCEPTED)

    async def file(self, request: Request, identifier: str) -> Response:
        """State of one file; with `?wait=` once it is reached or `timeout` has passed."""
        (file,) = await self._notary.files([identifier], *(_wait(request) or ()))
        return JSONResponse(_shown(file))

    async def states(self, request: Request) -> Response:
        """States of the files in `{"ids": […]}`, in order; `?wait=` as for one."""
        files = await self._notary.files(await _identifiers(request), *(_wait(request) or ()))
        return JSONResponse({"files": [_shown(file) for file in files]})

    async def receipt(self, request: Request, identifier: str) -> Response:
        """The receipt of one file at the level that it has reached; why it is stuck stands in X-Muniment-Cause."""
        files = await self._notary.files([identifier], *(_wait(request) or ()))
        text = "".join([text async for text in self._notary.receipts(files)])
        return Response(text, media_type="application/json", headers=_cause(files))

    async def receipts(self, request: Request) -> Response:
        """Receipts of the files in `{"ids": […]}` as NDJSON, in order."""
        files = await self._notary.files(await _identifiers(request), *(_wait(request) or ()))
        return StreamingResponse(_lines(self._notary.receipts(files)), media_type=_NDJSON, headers=_cause(files))

    async def live(self) -> Response:
        """Whether the notary runs at all."""
        failed = self._notary.failed
        alive = failed is not None and not failed.done()
        cause = "" if alive else "a part of the notary has ended"
        return JSONResponse({"live": alive, "cause": cause}, HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE)

    async def ready(self) -> Response:
        """Whether the notary can store and anchor now, and why not."""
        causes = await self._readiness.causes()
        body = {"ready": not causes, "cause": "; ".join(f"{n}: {c}" for n, c in causes.items()), "causes": causes}
        return JSONResponse(body, HTTPStatus.SERVICE_UNAVAILABLE if causes else HTTPStatus.OK)

    async def metrics(self) -> Response:
        """Prometheus text."""
        return Response(await self._notary.metrics_text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _refuse(self, _request: Request, error: Exception) -> Response:
        status = _status(error)
        self._notary.metrics.refused(status)
        headers = {"Retry-After": str(math.ceil(error.delay))} if isinstance(error, TemporaryError) else None
        return _problem(status, str(error), headers)


async def _refuse_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    return _problem(error.status_code, error.detail, error.headers)


def _status(error: Exception) -> int:
    if isinstance(error, RefusedUploadError):
        return error.status
    for kind, status in (
        (DiskFullError, HTTPStatus.INSUFFICIENT_STORAGE),
        (TemporaryError, HTTPStatus.SERVICE_UNAVAILABLE),
        (UnknownFileError, HTTPStatus.NOT_FOUND),
        (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    ):
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _problem(status: int, detail: str, headers: Any = None) -> Response:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": int(status), "detail": detail}
    return JSONResponse(body, status, headers=headers, media_type=_PROBLEM)


def _shown(file: FileView) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": file.id,
        "name": file.name,
        "size": file.size,
        "sha256": file.sha256.hex(),
        "cid": file.cid,
        "state": file.state.word,
    }
    if file.cause:
        shown["cause"] = file.cause
    return shown


def _cause(files: Sequence[FileView]) -> dict[str, str]:
    causes = {file.cause for file in files if file.cause}
    # Headers are Latin-1 on one line.
    text = "; ".join(sorted(causes)).replace("\n", " ").encode("ascii", "backslashreplace").decode("ascii")
    return {CAUSE_HEADER: text} if text else {}


def _wait(request: Request) -> tuple[State, float] | None:
    word = request.query_params.get("wait")
    if word is None:
        return None
    state = _WAITABLE.get(word)
    try:
        seconds = float(request.query_params.get("timeout", DEFAULT_WAIT_SECONDS))
    except ValueError:
        seconds = math.nan
    if state is None or not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise RefusedUploadError(
            f"wait must be stored or anchored, and timeout 0 to {LONGEST_WAIT_SECONDS:g} seconds", status=422
        )
    return state, seconds


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key.encode()) <= MAX_KEY_BYTES:
        raise RefusedUploadError(f"Idempotency-Key must have 1 to {MAX_KEY_BYTES} bytes")
    return key


async def _identifiers(request: Request) -> list[str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_QUESTION_BYTES:
            raise RefusedUploadError("too many identifiers: ask in several requests", status=413)
    try:
        ids = parse_json(body)["ids"]
    except (ValueError, KeyError, TypeError):
        ids = None
    if not isinstance(ids, list) or not all(isinstance(identifier, str) for identifier in ids):
        raise RefusedUploadError('the body must be {"ids": ["…", …]}')
    return ids


async def _drain(body: AsyncIterator[bytes]) -> None:
    left = DRAIN_BYTES
    try:
        async for chunk in body:
            left -= len(chunk)
            if left < 0:
                return
    except ClientDisconnect:
        return


async def _lines(documents: AsyncIterator[str]) -> AsyncIterator[str]:
    lines = []
    async for document in documents:
        lines.append(document + "\n")
        if len(lines) == LINES_AT_A_TIME:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)
