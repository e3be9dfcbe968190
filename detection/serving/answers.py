"""What the endpoint takes and says, as it is documented in docs/serve.md and /openapi.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from detection.serving.service import Found


class Question(BaseModel):
    """The query of /detect."""

    model_config = ConfigDict(extra="forbid")

    threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="the lowest score; by default that of the steps"
    )
    steps: str | None = Field(None, description="one of /model's; by default the detector's own")
    class_: list[str] = Field([], alias="class", description="only these classes; may be repeated")


class Size(BaseModel):
    width: int
    height: int


class DetectionAnswer(BaseModel):
    """``box``: [x1, y1, x2, y2] in pixels of the upright picture, see detection/boxes.py."""

    class_: str = Field(serialization_alias="class")
    category_id: int
    score: float
    box: list[float]


class Answer(BaseModel):
    """``detections``: best first.  ``seconds``: from the request's arrival until its answer."""

    image: Size
    detections: list[DetectionAnswer]
    steps: str
    seconds: float


class Health(BaseModel):
    """``in_work``: requests that are read, wait or are worked on, of ``limit`` at most."""

    status: Literal["ready", "stopping"]
    models: list[str]
    in_work: int
    limit: int


class ClassAnswer(BaseModel):
    name: str
    category_id: int
    colour: str


class StepsAnswer(BaseModel):
    """``lowest_score``: what is below it is left out unless ``threshold`` asks for it."""

    name: str
    lowest_score: float


class Model(BaseModel):
    """``default``: the steps that are taken where a request names none."""

    models: list[str]
    version: str
    device: str
    precision: str
    classes: list[ClassAnswer]
    steps: list[StepsAnswer]
    default: str
    max_bytes: int
    max_pixels: int


class Error(BaseModel):
    error: str


def to_answer(
    found: Found, steps: str, class_names: tuple[str, ...], category_ids: tuple[int, ...]
) -> Answer:
    boxes = found.detections.boxes
    rows = zip(
        boxes.tolist(),
        found.detections.scores.tolist(),
        found.detections.labels.tolist(),
        strict=True,
    )
    return Answer(
        image=Size(width=found.width, height=found.height),
        detections=[
            DetectionAnswer(
                class_=class_names[label - 1],
                category_id=category_ids[label - 1],
                score=score,
                box=box,
            )
            for box, score, label in rows
        ],
        steps=steps,
        seconds=round(found.seconds, 4),
    )
