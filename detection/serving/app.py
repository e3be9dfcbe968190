"""The addresses of the server: the page, /detect, /health and /model.

FastAPI's own pages of documentation are off: they load scripts from other machines.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from detection.inference.detector import Detector
from detection.serving import answers
from detection.serving.guard import Guard
from detection.serving.page import Page
from detection.serving.refusal import ClientGone, Refusal
from detection.serving.service import Service
from detection.version import __version__
from detection.visualization.colours import class_colour

log = logging.getLogger("serve")

_FILE = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "image/*": {"schema": _FILE},
        "multipart/form-data": {"schema": {"type": "object", "properties": {"file": _FILE}}},
    },
}
REFUSED = (400, 403, 408, 413, 415, 421, 422, 500, 503, 504)


@dataclass(frozen=True)
class Served:
    """``names``: of the models, for people.  ``hosts``: see :class:`Guard`."""

    detector: Detector
    names: Sequence[str]
    hosts: Sequence[str]


def make_app(service: Service, served: Served) -> Guard:
    """The whole application, an ASGI one."""
    detector, names = served.detector, [*served.names]
    page = Page.made(title=", ".join(names))
    app = FastAPI(title="detection", version=__version__, docs_url=None, redoc_url=None)
    refused: dict[int | str, dict[str, Any]] = {
        status: {"model": answers.Error, "description": HTTPStatus(status).phrase}
        for status in REFUSED
    }

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> str:
        return page.html

    @app.get("/favicon.ico", status_code=204, include_in_schema=False)
    async def show_no_icon() -> None:
        """Browsers ask for one."""

    @app.post("/detect", responses=refused, openapi_extra={"requestBody": _BODY})
    async def detect(
        request: Request, question: Annotated[answers.Question, Query()]
    ) -> answers.Answer:
        """The objects in one picture: the body, or the file of a multipart/form-data form."""
        steps = service.steps.default if question.steps is None else question.steps
        _check_is_one_of("steps", steps, service.steps.names)
        for name in question.class_:
            _check_is_one_of("class", name, detector.class_names)
        found = await service.detect(request, steps=steps, threshold=question.threshold)
        answer = answers.to_answer(found, steps, detector.class_names, detector.category_ids)
        if question.class_:
            answer.detections = [d for d in answer.detections if d.class_ in question.class_]
        log.info(
            "%d x %d pixels, %s: %d detections in %.2f s",
            found.width, found.height, steps, len(answer.detections), found.seconds,
        )  # fmt: skip
        return answer

    @app.get("/health", responses={503: {"model": answers.Health}})
    async def health(response: Response) -> answers.Health:
        """Whether pictures are taken: 200, or 503 while the server is being stopped."""
        response.status_code = 200 if service.is_ready else 503
        return answers.Health(
            status="ready" if service.is_ready else "stopping",
            models=names,
            in_work=service.in_work,
            limit=service.limits.waiting,
        )

    model = _model(service, detector, names)

    @app.get("/model")
    async def describe_model() -> answers.Model:
        """Its classes and steps, and what is taken."""
        return model

    _add_refusals(app)
    return Guard(app, names=served.hosts, headers=page.headers)


def _model(service: Service, detector: Detector, names: list[str]) -> answers.Model:
    pairs = zip(detector.class_names, detector.category_ids, strict=True)
    return answers.Model(
        models=names,
        version=__version__,
        device=str(detector.device),
        precision=detector.precision,
        classes=[
            answers.ClassAnswer(name=name, category_id=number, colour=_hex(label))
            for label, (name, number) in enumerate(pairs, start=1)
        ],
        steps=[
            answers.StepsAnswer(name=name, lowest_score=service.steps.lowest_score(name))
            for name in service.steps.names
        ],
        default=service.steps.default,
        max_bytes=service.limits.max_bytes,
        max_pixels=service.limits.most_pixels,
    )


def _hex(label: int) -> str:
    blue, green, red = class_colour(label)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _check_is_one_of(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        near = difflib.get_close_matches(value[:100], known, n=1, cutoff=0.5)
        some = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {some}"
        raise Refusal(422, f"{key}={value[:60]!r}: there is none of this name; {hint}")


def _add_refusals(app: FastAPI) -> None:
    """Whatever goes wrong is said as JSON, in one sentence."""

    @app.exception_handler(Refusal)
    async def refuse(request: Request, error: Refusal) -> Response:
        log.info("%s %d: %s", request.url.path[:60], error.status, error.sentence)
        more = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return JSONResponse({"error": error.sentence}, error.status, headers=more)

    @app.exception_handler(ClientGone)
    async def drop(request: Request, error: ClientGone) -> Response:
        log.info("a client went before its answer")
        return Response(status_code=400)  # which nobody reads

    @app.exception_handler(RequestValidationError)
    async def refuse_value(request: Request, error: RequestValidationError) -> Response:
        return await refuse(request, Refusal(422, _sentence(error.errors()[0])))

    @app.exception_handler(HTTPException)
    async def refuse_address(request: Request, error: HTTPException) -> Response:
        ways = "POST a picture to /detect; GET /, /health, /model or /openapi.json"
        sentence = f"{HTTPStatus(error.status_code).phrase}: {ways}"
        return JSONResponse({"error": sentence}, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": "the server failed; its log says how"}, 500)


def _sentence(error: dict[str, Any]) -> str:
    key = ".".join(map(str, error["loc"][1:2]))
    if error["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in answers.Question.model_fields.items()]
        return f"{key[:60]!r} is no key of the query; there are {', '.join(known)}"
    return f"{key}={str(error.get('input'))[:60]!r}: {error['msg']}"
