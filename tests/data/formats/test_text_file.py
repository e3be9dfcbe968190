"""Text of any encoding: what is declared, what is marked, and what fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.data.formats.text_file import decode, read_json, read_lines, read_xml, read_yaml


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("café", "utf-8"),
        ("café", "utf-8-sig"),
        ("café", "utf-16"),
        ("cafe au lait", "utf-16-le"),
        ("cafe au lait", "utf-16-be"),
        ("café", "utf-32"),
        ("café, février", "latin-1"),
        ("车辆", "gbk"),
        ("<name>车</name>", "gb2312"),
    ],
)
def test_the_encoding_is_found_out(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


def test_what_is_declared_comes_before_a_guess() -> None:
    assert decode("Привет".encode("cp1251"), "cp1251") == ("Привет", "cp1251")
    # A wrong declaration does not.
    assert decode("é".encode(), "ascii") == ("é", "utf-8")
    assert decode("é".encode(), "no such thing") == ("é", "utf-8")


def test_entries_of_a_list_have_no_quotes_and_blanks(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes('\ufeff a \r\n"my leaf"\r\n\r\n'.encode())
    assert read_lines(tmp_path / "list.txt") == ["a", "my leaf"]


def test_a_file_is_named_whatever_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for read in (read_json, read_lines):
        with pytest.raises(FileNotFoundError, match="x: no such"):
            read(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="x: not valid JSON"):
        read_json(path)
    path.write_text("<a><b></a>")
    with pytest.raises(ValueError, match="x: not valid XML"):
        read_xml(path)


def test_names_of_xml_elements_are_plain(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text('\n\n<?xml version="1.0"?><A xmlns="u:v"><Size><WIDTH>3</WIDTH></Size></A>')
    assert read_xml(path).findtext("size/width") == "3"


def test_a_yaml_file_that_would_take_long_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("names: [" + "<object>" * 100_000 + "]")
    with pytest.raises(ValueError, match=r"x\.yaml: .* 800,009 letters, over 500,000"):
        read_yaml(path)
    path.write_text("[" * 1000)
    with pytest.raises(ValueError, match=r"x\.yaml: .* over 100 brackets are open"):
        read_yaml(path)
    path.write_text("names: [a, b]")
    assert read_yaml(path) == {"names": ["a", "b"]}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gbk", "latin-1"])
def test_json_of_other_encodings_is_read(tmp_path: Path, encoding: str) -> None:
    text = "车辆" if encoding != "latin-1" else "café"
    (tmp_path / "x.json").write_bytes(f'{{"name": "{text}"}}'.encode(encoding))
    assert read_json(tmp_path / "x.json") == {"name": text}
