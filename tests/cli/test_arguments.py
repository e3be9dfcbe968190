"""Plain paths have any name and reach the configuration as they are; key=value stays Hydra's."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from detection.cli.arguments import Arguments, parse
from detection.cli.choices import groups_of
from detection.cli.commands import COMMANDS
from detection.cli.compose import compose_config
from detection.cli.config_folders import searched_first

DETECT = COMMANDS["detect"]
NAMES = [
    "照片.jpg",
    "it's.jpg",
    "a (1).jpg",
    "a,b.jpg",
    "[1]{2}.jpg",
    "${seed}.jpg",
    '"quoted".jpg',
    "back\\${slash}.jpg",
    "\\\\server\\share\\a.jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_have_any_name(name: str) -> None:
    given = parse(DETECT, [name, name, "photos", "-o", name])
    config = compose_config("detect", given.overrides)
    given.fill(config)
    assert config.checkpoint == name
    assert list(config.images) == [name, "photos"]
    assert config.output_dir == name


def test_a_name_with_an_equals_sign_is_a_path_where_the_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x=1.jpg", "batch_size=2"):
        (tmp_path / name).touch()
    given = parse(DETECT, ["m.pt", "x=1.jpg", "/a=b/c.jpg", "./y=2.jpg", "it's=3.jpg"])
    assert given.paths["images"] == ["x=1.jpg", "/a=b/c.jpg", "./y=2.jpg", "it's=3.jpg"]
    # A key of the command stays one, whatever lies about.
    assert parse(DETECT, ["m.pt", "photos", "batch_size=2"]).overrides == ["batch_size=2"]
    assert parse(DETECT, ["m.pt", "--", "batch_size=2"]).paths["images"] == ["batch_size=2"]
    # With no such file it is a key, and a wrong one is said.
    assert parse(DETECT, ["m.pt", "photos", "y=1.jpg"]).overrides == ["y=1.jpg"]


def test_options_and_overrides_stand_anywhere() -> None:
    words = ["-o", "out", "m.pt", "draw=false", "a.jpg", "--config-dir", "own", "b.jpg", "-h"]
    with pytest.raises(FileNotFoundError, match="--config-dir own: no such folder"):
        parse(DETECT, words)
    given = parse(DETECT, [word for word in words if word not in ("--config-dir", "own")])
    assert given == Arguments(
        overrides=["draw=false"],
        paths={"output_dir": "out", "checkpoint": "m.pt", "images": ["a.jpg", "b.jpg"]},
        wants_help="first",
    )
    assert parse(DETECT, ["--help", "all"]).wants_help == "all"
    assert parse(DETECT, ["all", "photos"]).paths["checkpoint"] == "all"


@pytest.mark.parametrize("place", range(4))
def test_a_key_as_an_option_stands_anywhere(place: int) -> None:
    words = ["m.pt", "data", "max_images=5"]
    given = parse(COMMANDS["test"], [*words[:place], "--open", *words[place:]])
    assert sorted(given.overrides) == ["max_images=5", "open=true"]
    assert given.paths == {"checkpoint": "m.pt", "data.root": "data"}


@pytest.mark.parametrize(
    ("command", "words", "paths"),
    [
        ("test", ["m.pt", "data"], {"checkpoint": "m.pt", "data.root": "data"}),
        ("test", ["data", "detections=d.json"], {"data.root": "data"}),
        ("detect", ["photos", "checkpoint=[a.pt,b.pt]"], {"images": ["photos"]}),
        ("train", ["data"], {"data.root": "data"}),
        ("check", ["data"], {"data.root": "data"}),
        ("import", ["a.pkl", "b.pt"], {"source": "a.pkl", "output": "b.pt"}),
        ("import", ["a.pkl", "-o", "b.pt"], {"source": "a.pkl", "output": "b.pt"}),
        ("plot-curves", ["a", "b"], {"runs": ["a", "b"]}),
        ("compare", ["m.pt", "data", "~rows.full"], {"checkpoint": "m.pt", "data.root": "data"}),
    ],
)
def test_the_order_of_plain_arguments(
    command: str, words: list[str], paths: dict[str, object]
) -> None:
    assert parse(COMMANDS[command], words).paths == paths


def test_home_arrives_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given = parse(COMMANDS["train"], ["~/data", "-o", "~/out", "weights=~/r50.pt"])
    assert given.paths == {"data.root": "/home/me/data", "output_dir": "/home/me/out"}
    assert compose_config("train", given.overrides).weights == "/home/me/r50.pt"


@pytest.mark.parametrize(
    "path",
    [
        r"\\server\share\data",
        r"C:\Users\me\new (2)\data",
        "C:\\",
        "/photos of '24/[a] {b}",
        './"quoted"',
        '/back\\"slash',
        "/ends with\\",
        "../#1; 50% = half",
    ],
)
def test_a_path_behind_a_key_arrives_as_it_is_written(path: str) -> None:
    given = parse(COMMANDS["train"], [f"data.root={path}", f"weights={path}"])
    config = compose_config("train", given.overrides)
    assert (config.data.root, config.weights) == (path, path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b"], "'b' is one argument too many; usage: detection train DATA"),
        (["--epochs", "5"], "there is no option --epochs: did you mean schedule.recipe.epochs=5?"),
        (["--weight=r50.pth"], r"no option --weight: did you mean weights=r50\.pth\?"),
        (["--resumed"], "there is no option --resumed: did you mean resume=true?"),
        (["--xyz", "3"], "there is no option --xyz: write key=value"),
        (["-m", "seed=1,2"], "there is no option -m: a command does one run"),
        (["--multirun"], "there is no option --multirun: a command does one run"),
        (["--cfg", "job"], "there is no option --cfg: --help all shows every value"),
        (["--config-path=outputs"], "there is no option --config-path: --config FILE takes"),
        (["a", "-o", "x", "output_dir=y"], "-o and output_dir= are the same"),
    ],
)
def test_a_word_without_a_place_is_an_error(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(COMMANDS["train"], words)


def test_what_writes_no_files_takes_no_output() -> None:
    with pytest.raises(ValueError, match="env writes no files: leave out -o"):
        parse(COMMANDS["env"], ["-o", "out"])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_positional_argument_is_a_key_of_the_configuration(name: str) -> None:
    command = COMMANDS[name]
    config = compose_config(command.config, [])
    keys = [positional.key for positional in command.positionals]
    keys += [command.output] if command.output else []
    Arguments(paths=dict.fromkeys(keys, "somewhere")).fill(config)


def test_ones_own_files_come_first(tmp_path: Path) -> None:
    (tmp_path / "inference").mkdir()
    (tmp_path / "inference" / "mine.yaml").write_text("defaults: [single]\nflip: true\n")
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "fast.yaml").write_text("defaults: [exact]\nworkers: 7\n")
    with searched_first(tmp_path):
        config = compose_config("test", ["inference=mine"])
        assert config.inference.flip
        assert config.inference.post_processing.nms_iou == 0.3
        assert config.runtime.workers == 7
        assert {"mine", "single"} < set(groups_of("test")["inference"])
        with pytest.raises(ValueError, match="did you mean 'mine'"):
            compose_config("test", ["inference=mien"])
    assert compose_config("test", []).runtime.workers == "auto"


def test_of_a_key_that_is_given_twice_the_last_counts_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parse(COMMANDS["train"], ["d", "seed=1", "seed=1", "seed=2"])
    assert [record.message for record in caplog.records] == [
        "seed=1: replaced by seed=2, which follows"
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("detect a.pt p.jpg checkpoint=b.pt", "a.pt and checkpoint=b.pt are given for one thing"),
        ("detect a.pt p.jpg checkpoint=b.pt", r"checkpoint=\[a.pt,b.pt\] is an ensemble"),
        ("detect a.pt p.jpg images=q.jpg", "p.jpg and images=q.jpg are given"),
        ("test a.pt d checkpoint=b.pt", "a.pt and checkpoint=b.pt are given"),
        ("test a.pt d data.root=e", "d and data.root=e are given"),
        ("test a.pt detections=x.json", "a.pt and detections=x.json are given"),
        ("train d data.root=e", "d and data.root=e are given for one thing: leave one out$"),
        ("import a.pth x.pt output=y.pt", "x.pt and output=y.pt are given"),
        ("export-weights a.pt x.pth checkpoint=b.pt", "a.pt and checkpoint=b.pt are given"),
        ("weights msra_r50 names=msra_r101", "msra_r50 and names=msra_r101 are given"),
        ("plot-curves a b 'runs=[c]'", r"a and runs=\[c\] are given"),
    ],
)
def test_what_is_given_plainly_and_by_its_key_is_refused(line: str, message: str) -> None:
    name, *words = shlex.split(line)
    with pytest.raises(ValueError, match=message):
        parse(COMMANDS[name], words)


def test_the_other_argument_may_be_plain() -> None:
    assert parse(DETECT, ["p.jpg", "q.jpg", "checkpoint=b.pt"]).paths == {
        "images": ["p.jpg", "q.jpg"]
    }
    assert parse(COMMANDS["test"], ["d", "checkpoint=b.pt"]).paths == {"data.root": "d"}
    assert parse(COMMANDS["import"], ["x.pt", "source=a.pth"]).paths == {"output": "x.pt"}


def test_a_file_that_is_there_does_not_become_the_output_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.pth").touch()
    for name, given in (("import", "source=b.pth"), ("export-weights", "checkpoint=b.pth")):
        with pytest.raises(ValueError, match=f"a.pth (exists, and beside|and) {given} (it|are)"):
            parse(COMMANDS[name], ["a.pth", given])
        # Where it is said to be the output, it is meant.
        for words in (["-o", "a.pth", given], ["output=a.pth", given], ["b.pth", "a.pth"]):
            parse(COMMANDS[name], words)
