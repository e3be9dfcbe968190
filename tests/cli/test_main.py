"""The console command; that it answers before anything large is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from detection.cli.commands import COMMANDS
from detection.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
LARGE = ("torch", "torchvision", "cv2", "matplotlib", "tensorboard", "numpy")


def test_alone_it_lists_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["--help"]):
        monkeypatch.setattr("sys.argv", ["detection", *arguments])
        main()
        shown = capsys.readouterr().out
        assert all(f"  {name} " in shown and c.help in shown for name, c in COMMANDS.items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trian", "there is no command 'trian'; did you mean 'train'"),
        ("predict", "there is no command 'predict'; it is called 'detect' here"),
        ("bn_statistics", "did you mean 'bn-statistics'"),
        ("xyz", "choose from train, test, detect, check"),
        ("-o", "-o: the command comes first: detection COMMAND"),
        ("--verbose", "--verbose: the command comes first"),
    ],
)
def test_an_unknown_command_names_the_nearest(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["detection", name])
    with pytest.raises(SystemExit, match=message):
        main()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_script_of_the_same_module_runs_the_same_command(name: str) -> None:
    module = COMMANDS[name].module.rpartition(".")[2]
    assert (ROOT / COMMANDS[name].module.replace(".", "/")).with_suffix(".py").is_file()
    calls = f'run("{name}", sys.argv[0], sys.argv[1:])'
    assert calls in (ROOT / "tools" / f"{module}.py").read_text()


def test_every_script_is_a_command() -> None:
    scripts = {path.stem for path in (ROOT / "tools").glob("*.py")} - {"__init__"}
    assert scripts == {command.module.rpartition(".")[2] for command in COMMANDS.values()}


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ([], "usage: detection COMMAND"),
        (["train", "--help"], "usage: detection train DATA"),
        (["detect", "m.pt", "photos", "lr=1"], "there is no key 'lr'"),
        (["train", "model=papr2015"], "did you mean 'paper2015'"),
        (["trian"], "did you mean 'train'"),
        (["train"], "data.root is needed"),
        (["weights", "coco_r50_c4"], "model_final_721ade.pkl"),
        (["train", "data", "schedule.batch_size=0"], "schedule.batch_size=0: must be a whole"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.slow
def test_a_question_or_a_typing_error_is_answered_without_torch(
    arguments: list[str], answer: str, tmp_path: Path
) -> None:
    program = (
        "import sys\nfrom detection.cli.main import main\n"
        f"sys.argv = ['detection', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as error:\n    print(error)\n"
        f"print('imported:', *(name for name in {LARGE!r} if name in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        check=True,
    )
    assert answer in done.stdout
    assert done.stdout.rstrip().endswith("imported:")
    assert not done.stderr


@pytest.mark.slow
def test_to_detect_imports_no_more_than_detecting_needs(
    imported_by: Callable[[str, Sequence[str]], list[str]],
) -> None:
    unwanted = (
        "torchvision", "matplotlib", "tensorboard", "pycocotools", "hotcoco", "hydra",
        "torch._dynamo", "detection.data.formats", "detection.evaluation",
    )  # fmt: skip
    assert imported_by("import detection.cli.detect", unwanted) == []


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "detection"),
        ("-m", "detection", "train", "--help"),
        ("tools/train_net.py", "--help"),
        ("tools/train_net.py", "--help", "seed=2"),  # composed
    ],
)
def test_a_reader_that_has_enough_is_no_error(words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
