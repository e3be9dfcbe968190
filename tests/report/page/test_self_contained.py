"""What goes into a page stays what it is."""

from __future__ import annotations

import json
import math

import pytest

from detection.report.self_contained import embedded_json


@pytest.mark.parametrize(
    "text", ["</script>", "<!--", "]]>", "&amp;", "\u2028\u2029", "漢字", "\udce9", '"\\']
)
def test_json_in_a_page_means_the_same(text: str) -> None:
    embedded = embedded_json({text: [text]})
    assert json.loads(embedded) == {text: [text]}
    assert embedded.isascii()
    assert not set(embedded) & set("<>&")


def test_numbers_that_are_not_finite_are_none() -> None:
    embedded = embedded_json({"a": [math.nan, math.inf, 1.5, (2, -math.inf)], "b": True})
    assert json.loads(embedded) == {"a": [None, None, 1.5, [2, None]], "b": True}
