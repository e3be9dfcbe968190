"""Text, lists, JSON and XML files of any encoding: one reader for all formats.

Labelling tools of other systems write byte order marks, UTF-16, GBK and Latin-1, declared or not.
"""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import yaml
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detection.data.data_root import refuse_outside
from detection.data.findings import Findings

# UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DEEPEST = 100
# Letters.  PyYAML takes a second for each 100,000; the names of 1,203 classes are 20,000.
_LONGEST_YAML = 500_000
_DECLARATION = re.compile(r"^<\?xml[^>]*?\?>")
_ENCODING = re.compile(rb"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)[\"']")


class _AsWritten(yaml.SafeLoader):
    """Every plain value is text; what merges tables still does."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML has it
        first: [(tag, form) for tag, form in resolvers if tag == "tag:yaml.org,2002:merge"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """The text and the encoding that it turned out to have.

    A byte order mark decides; then ``declared``; then UTF-8; then GBK or Latin-1, whichever fits.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace"), encoding
    if declared is not None:
        try:
            return data.decode(declared), declared
        except (LookupError, UnicodeDecodeError):
            pass
    if b"\0" in data[:64]:
        # ASCII letters of UTF-16 without a mark: every other byte is a zero.
        encoding = "utf-16-be" if data[:64:2].count(0) > data[1:64:2].count(0) else "utf-16-le"
        return data.decode(encoding, errors="replace"), encoding
    for encoding in ("utf-8", *(["gb18030"] if _is_gbk(data) else [])):
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            pass
    return data.decode("latin-1"), "latin-1"


def _is_gbk(data: bytes) -> bool:
    """In GBK most bytes beyond ASCII stand in pairs; in Latin-1's languages most stand alone."""
    runs = re.findall(rb"[\x80-\xff]+", data)
    return sum(len(run) > 1 for run in runs) * 2 > len(runs)


def read_bytes(path: Path) -> bytes:
    """Raises OSError; and ValueError for a file outside of the data set (`data_root.within`)."""
    refuse_outside(path)
    return path.read_bytes()


def read_text(path: Path) -> str:
    """Raises FileNotFoundError."""
    try:
        return decode(read_bytes(path))[0]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None


def read_lines(path: Path) -> list[str]:
    """The entries of a list: without quotes, blanks at either end, and empty lines."""
    lines = (line.strip().strip("\0") for line in read_text(path).splitlines())
    return [
        line[1:-1] if len(line) > 1 and line[0] == line[-1] and line[0] in "\"'" else line
        for line in lines
        if line
    ]


def read_json(path: Path) -> Any:
    """In the encodings of :func:`decode`.

    The standard library's parser and not msgspec's, which refuses a NaN without saying where.
    Raises FileNotFoundError and ValueError, which name the file.
    """
    try:
        data = read_bytes(path)
        try:
            return json.loads(data)
        except UnicodeDecodeError:
            return json.loads(decode(data)[0])
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such annotation file") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(
            f"{path}: not valid JSON: {error}; export or copy the file again"
        ) from None


def read_yaml(path: Path, *, as_written: bool = False) -> Any:
    """Plain values, or the text of each.

    Raises FileNotFoundError, and ValueError, which names the file.
    """
    text = read_text(path)
    if len(text) > _LONGEST_YAML:
        raise ValueError(
            f"{path}: not valid YAML of a data set: {len(text):,} letters, over "
            f"{_LONGEST_YAML:,}; it needs names and folders alone"
        )
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):  # PyYAML's time grows with the square of it
        depth += 1 if bracket in "[{" else -1
        if depth > _DEEPEST:
            raise ValueError(
                f"{path}: not valid YAML: over {_DEEPEST} brackets are open; correct it"
            )
    try:
        return yaml.load(text, _AsWritten if as_written else yaml.SafeLoader)
    # Its constructors do what they like with foreign values: a date of month 13, a list as a key.
    except (yaml.YAMLError, ValueError, TypeError, KeyError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{path}: not valid YAML: {said}; correct it") from None


def read_xml(path: Path, findings: Findings | None = None) -> Element:
    """The root element; names of elements are in lower case and without a namespace.

    Raises FileNotFoundError and ValueError, which name the file.
    """
    data = read_bytes(path)
    found = _ENCODING.match(data)
    declared = found[1].decode("ascii") if found else None
    text, encoding = decode(data, declared)
    if findings is not None and encoding not in ("utf-8", "utf-8-sig", "utf-16", declared):
        findings.repaired(f"XML in {encoding} that does not say so", str(path))
    text = _DECLARATION.sub("", text.strip())
    try:
        root: Element = fromstring(text)
    except ParseError as error:
        raise ValueError(f"{path}: not valid XML: {error}; export or copy it again") from None
    except DefusedXmlException as error:
        raise ValueError(f"{path}: refused, it declares entities: {error}") from None
    except Exception as error:  # whatever else the parser meets is named with its file
        raise ValueError(f"{path}: cannot be read: {error}") from None
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2].lower()
    return root
