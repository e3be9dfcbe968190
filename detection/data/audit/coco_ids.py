"""Ids of annotations in a COCO file, which nothing but their repetition is wrong with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from detection.data.audit.remarks import Remarks
from detection.data.formats.coco_entries import key_of
from detection.data.formats.text_file import read_json


def audit_annotation_ids(split: str, file: Path, remarks: Remarks) -> None:
    """COCO's own evaluation keeps one of two annotations with the same id, without a word."""
    if file.suffix.lower() != ".json" or not file.is_file():
        return
    content = read_json(file)
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        return
    keys = [key_of(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry]
    places = [f"{key!r}, {times} times" for key, times in Counter(keys).items() if times > 1]
    remarks.add("same-annotation-id", split, *places)
