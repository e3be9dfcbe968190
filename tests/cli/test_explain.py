"""What is wrong with an override is said in words of this project, with the right key."""

from __future__ import annotations

import pytest

from detection.cli.compose import compose_config


def said(config: str, *overrides: str) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        compose_config(config, [*overrides])
    return str(raised.value)


@pytest.mark.parametrize(
    ("config", "override", "key", "value"),
    [
        ("train", "lr=0.1", "schedule.learning_rate.reference", "0.0001"),
        ("train", "epochs=12", "schedule.recipe.epochs", "null"),
        ("demo", "epochs=12", "pretraining.epochs", "1"),
        ("train", "batch=16", "schedule.batch_size", "2"),
        ("train", "batch_size=16", "schedule.batch_size", "2"),
        ("detect", "batch=16", "batch_size", "4"),
        ("train", "imgsz=640", "data.shorter_sides", "[600]"),
        ("detect", "imgsz=640", "shorter_side", "null"),
        ("train", "device=cpu", "runtime.device", "auto"),
        ("detect", "workers=8", "runtime.workers", "auto"),
        ("test", "classes=[cat]", "data.classes", "null"),
        ("detect", "threshold=0.5", "score_threshold", "null"),
        ("train", "threshold=0.5", "inference.post_processing.score_threshold", "0.05"),
    ],
)
def test_the_names_of_other_programs_are_answered_with_ours(
    config: str, override: str, key: str, value: str
) -> None:
    assert f"did you mean {key!r}, now {value}?" in said(config, override)


@pytest.mark.parametrize("brackets", ["[", "{", "("])
def test_brackets_without_end_are_refused_at_once(brackets: str) -> None:
    message = said("train", f"data.classes={500 * brackets}")
    assert message == "data.classes: more than 16 brackets within each other: leave them out"
    assert "data.classes" in said("train", "data.classes=" + 12 * "[" + "a" + 12 * "]")


def test_the_value_is_that_of_the_chosen_files() -> None:
    assert "'schedule.batch_size', now 16?" in said("train", "experiment=modern_c4", "batch=2")


def test_all_unknown_keys_are_said_at_once() -> None:
    first, *others = said("train", "lr=0.1", "seed=3", "imgsz=640", "epohcs=3").splitlines()
    assert first == "3 values of the configuration are wrong:"
    assert [other.split(":")[0].strip() for other in others] == ["lr=0.1", "imgsz=640", "epohcs=3"]


def test_an_unknown_key_lists_the_nearest_five() -> None:
    message = said("train", "schedule.batch_sise=3")
    assert "did you mean 'schedule.batch_size'? Near it are " in message
    assert message.count(", ") == 3
    far = said("train", "qqqq=3")
    assert far.partition("the nearest are ")[2].count(", ") == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1,2", "seed=1,2: one value is needed; a list is written seed=[...]"),
        ("seed=choice(1,2)", "one value is needed"),
        ("+seed=1", "seed is there already: leave out the +"),
        ("+model=vgg16", "model is there already: leave out the +"),
        ("~nothing", "there is no key 'nothing'"),
        ("~seed=5", "seed has another value: write ~seed"),
        ("model@x=vgg16", "there is no key 'model@x'; did you mean 'model'"),
        ("seed.a=1", "there is no key 'seed.a'; did you mean 'seed'"),
        ("=3", "is no override: write key=value"),
        ("runtime=null", "a file is needed: choose from exact, fast"),
        ("data.root=a(1)", "'data.root=\"a(1)\"'"),
        ("data.root=[", "a bracket, a quote or a comma of its value is amiss"),
        ("model=paper2015,vgg16", "model=paper2015,vgg16: there is no such model"),
    ],
)
@pytest.mark.slow
def test_hydras_advice_stays_behind_the_door(override: str, message: str) -> None:
    found = said("train", override)
    assert message in found
    assert "\n" not in found
    assert not any(word in found.lower() for word in ("hydra", "multirun", "append", "lexer"))
