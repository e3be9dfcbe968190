"""Letters of any script: drawn by the one that knows how, or known to be missing."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import features

from detection.visualization import letters as module
from detection.visualization.letters import cleaned, is_covered, letters, shortened

RAQM = pytest.mark.skipif(not features.check_feature("raqm"), reason="Pillow joins no letters here")


def looks_like_question_marks(text: str, size: int = 24) -> bool:
    return np.array_equal(letters(text, size), letters("?" * len(text), size))


@pytest.mark.parametrize(
    "name",
    [
        "person", "Fußgänger", "Ελλάς", "собака", "Việt", "猫", "日本語", "한국어",
        pytest.param("العربية", marks=RAQM),
        pytest.param("עברית", marks=RAQM),
        pytest.param("ქართული", marks=RAQM),
        pytest.param("😀", marks=RAQM),
        pytest.param("a😀猫", marks=RAQM),
    ],
)  # fmt: skip
def test_names_in_many_scripts(name: str) -> None:
    assert is_covered(name)
    assert letters(name, 20).any()
    assert not looks_like_question_marks(name)


def test_a_script_without_a_font_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "font_for", lambda text: None)
    module.is_covered.cache_clear()
    try:
        for name in ("\U00013080\U00013081", "العربية", "हिन्दी", "", " \u202e\n"):
            assert not is_covered(name), name
        assert is_covered("猫 and dog")
    finally:
        module.is_covered.cache_clear()


@RAQM
def test_arabic_letters_are_joined() -> None:
    # Alone, beh has its full form; between others it is a tooth: joined, the word is narrower.
    joined, alone = letters("ببببب", 40).shape[1], letters("ب", 40).shape[1]
    assert joined < 0.75 * 5 * alone


@RAQM
def test_hebrew_runs_from_right_to_left() -> None:
    # Final nun, a long stroke, ends the word: on the left.
    nun = "\N{HEBREW LETTER FINAL NUN}"
    mask = letters(f"אב{nun}", 40) > 0
    alone = letters(nun, 40) > 0
    lowest = np.flatnonzero(mask[np.flatnonzero(mask.any(axis=1))[-1]])
    assert lowest.max() <= alone.shape[1] + 2


def test_digits_stand_behind_another_script() -> None:
    with_score, name = letters("猫 0.98", 24), letters("猫", 24)
    assert with_score.shape[1] > 2 * name.shape[1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("evil\nname", "evil name"),
        ("\u202eabc\u202c", "abc"),
        ("a\u0301", "á"),
        ("  two   words ", "two words"),
        ("\x00\ud800", ""),
    ],
)
def test_what_is_not_seen_is_taken_out(given: str, expected: str) -> None:
    assert cleaned(given) == expected


@settings(max_examples=50, deadline=None)
@given(
    text=st.text(st.characters(max_codepoint=0x2FFF), max_size=12), size=st.sampled_from([11, 30])
)
def test_any_text_has_a_mask(text: str, size: int) -> None:
    mask = letters(text, size)
    assert mask.dtype == np.uint8
    assert mask.shape[0] >= 0.8 * size
    assert not mask.flags.writeable
    has_ink = any(not unicodedata.category(c).startswith(("Z", "C", "M")) for c in cleaned(text))
    if text and is_covered(text) and has_ink:
        assert mask.any()
        assert mask[:, 0].any()
        assert mask[:, -1].any()


def test_a_long_text_is_shortened() -> None:
    text = "a very long name of a class"
    assert shortened(text, 20, 1000) == text
    short = shortened(text, 20, 100)
    assert short.endswith("…")
    assert text.startswith(short[:-1])
    assert letters(short, 20).shape[1] <= 100
    assert shortened(text, 20, 3) == ""
