"""Every command of the pages is one that the tools take; the README's own are run.

A command of tools/ is composed by its launcher, so that a renamed key or group is found.  Other
commands are looked up where they are defined.  A command that no rule here knows fails.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch

from detection.cli.arguments import parse
from detection.cli.commands import COMMANDS
from detection.cli.compose import check_values, compose_config, compose_unchecked
from detection.cli.main import main
from detection.model.resnet import ResNet
from detection.shapes.dataset import generate

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "datasets" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A block that shows a tree of files, values or a message, and no commands.
NO_COMMANDS = re.compile(r"(root/|detection(/|\s*\n)|data\.train|error:)")
# What stands for something of the reader's.
PLACEHOLDERS = {"...": "somewhere", "PATH": "somewhere"}

# For a training of one iteration: small pictures, few regions, this process alone.
SMALL_TRAINING = [
    *("schedule.rules.iterations=1", "schedule.batch_size=1", "data.shorter_sides=[64]"),
    "data.test_shorter_side=64",
    *("model.rpn.training_proposals.after_nms=16", "model.rpn.test_proposals.after_nms=4"),
    "model.roi_head.sampling.per_image=4",
]
SMALL = {
    "train": [*SMALL_TRAINING, "runtime.workers=0", "runtime.device=cpu"],
    "test": ["runtime.workers=0", "runtime.device=cpu"],
    "detect": ["runtime.workers=0", "runtime.device=cpu"],
    "check": ["workers=0"],
    "show-data": ["runtime.workers=0", "runtime.device=cpu"],
}
# It runs until it is stopped; tests/serving/ starts it.
SERVES = "serve"
# Files that stand for published weights, which are fetched.
FETCHED = {"coco_r101_c4": "published.pt", "weights=msra_r50": "weights=r50.pt"}


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, content) of the fenced blocks."""
    return FENCE.findall(page.read_text())


def shell_commands(page: Path) -> list[list[str]]:
    """The words of every command in the fenced shell blocks."""
    found: list[list[str]] = []
    for language, content in blocks(page):
        if language in ("", "bash", "sh") and not NO_COMMANDS.match(content):
            for line in content.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while "&&" in words:
                    found.append(words[: words.index("&&")])
                    words = words[words.index("&&") + 1 :]
                found.append(words)
    return [words for words in found if words]


def inline_commands(page: Path) -> list[list[str]]:
    """The words of every call of a tool in backticks."""
    text = FENCE.sub("", page.read_text())
    quoted = (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text))
    calls = (shlex.split(line) for line in quoted if re.match(r"(\S+ )*(tools/)?\w+\.py ", line))
    # detectron2's tools have names of ours and options, which ours have not.
    return [words for words in calls if tool_of(words) and "--config-file" not in words]


def tool_of(words: list[str]) -> tuple[str, list[str]] | None:
    """(name, arguments) of the tool that is called, however: tools/x.py, x.py, by torchrun."""
    for number, word in enumerate(words):
        name = word.removeprefix("tools/")
        if re.fullmatch(r"\w+\.py", name) and (ROOT / "tools" / name).is_file():
            return name.removesuffix(".py"), words[number + 1 :]
    return None


def configuration_of(tool: str) -> str:
    """The file of configs/ that the tool composes."""
    text = (ROOT / "tools" / f"{tool}.py").read_text()
    command = re.search(r'run\("([\w-]+)"', text)
    if command:
        return COMMANDS[command[1]].config
    found = re.search(r'config="(\w+)"', text)
    assert found
    return found[1]


def overrides_of(arguments: list[str]) -> list[str]:
    """The arguments with something in the place of what stands for the reader's own."""
    given = [argument for argument in arguments if argument not in ("...", "--help")]
    return [
        f"{key}{equals}{PLACEHOLDERS.get(value, value.replace('...', 'somewhere'))}"
        for key, equals, value in (argument.partition("=") for argument in given)
    ]


def distinct(commands: list[tuple[Path, list[str]]]) -> dict[str, list[str]]:
    """Name for pytest -> words; a command that stands on several pages counts once."""
    found: dict[str, list[str]] = {}
    for page, words in commands:
        if words not in found.values():
            number = sum(name.startswith(page.stem) for name in found) + 1
            found[f"{page.stem}-{number}-{Path(words[-1]).name[:40]}"] = words
    return found


ALL = distinct(
    [(page, words) for page in PAGES for words in (*shell_commands(page), *inline_commands(page))]
)
TOOLS = {name: words for name, words in ALL.items() if tool_of(words)}
OTHERS = {name: words for name, words in ALL.items() if name not in TOOLS}


def test_the_commands_are_seen_at_all() -> None:
    # If nothing were found, the tests below could not fail.
    assert len(TOOLS) > 40
    assert any("torchrun" in words for words in TOOLS.values())
    assert ["make", "demo"] in OTHERS.values()


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.usefixtures("mypackage")  # which CONTRIBUTING.md's commands name
def test_a_tools_command_composes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for example in (ROOT / "examples").iterdir():
        monkeypatch.syspath_prepend(example)
    call = tool_of(TOOLS[name])
    assert call
    tool, arguments = call
    config = compose_config(configuration_of(tool), overrides_of(arguments))
    for row in config.get("rows", {}).values() if tool == "compare" else ():
        assert compose_config("test", shlex.split(row))


def known(words: list[str]) -> bool:
    """Whether a command that is none of tools/ asks for something that is there."""
    program, *arguments = words
    if program == ".":
        return arguments == [".venv/bin/activate"]
    if "=" in program:  # VARIABLE=value before a command
        return known(arguments)
    program = Path(program).name  # .venv/bin/python is python
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return set(arguments) <= set(targets)
    if arguments[:2] == ["-m", "pytest"]:
        return all((ROOT / word).exists() for word in arguments[2:] if not word.startswith("-"))
    if arguments[:2] == ["-m", "venv"]:
        return arguments[2:] == [".venv"]
    if arguments[:2] == ["-m", "detection.ops"]:
        return (ROOT / "detection" / "ops" / "__main__.py").is_file()
    if program == "pip":
        return arguments[:1] == ["install"]
    if program == "detection" and arguments[0] in COMMANDS:
        command = COMMANDS[arguments[0]]
        given = parse(command, arguments[1:])
        composed = compose_unchecked(command.config, given.overrides)
        given.fill(composed)
        check_values(command.config, composed, given.overrides)
        needed = {p.key for p in command.positionals if not p.optional}
        taken = {p.key for p in command.positionals} | {command.output}
        return needed <= {*given.paths} <= taken
    if program == "pre-commit":
        return arguments == ["install"] and (ROOT / ".pre-commit-config.yaml").is_file()
    if program == "curl":  # of docs/serve.md: tests/serving/test_documented.py asks the server
        return any(word.startswith("http://127.0.0.1:8000/") for word in arguments)
    if program == "wget":  # an address
        return len(arguments) == 1
    if program == "python" and arguments[0] == "datasets/download.py":
        given = [word for word in arguments[1:] if not word.startswith("--")]
        return set(given) <= downloads()
    if program == "python":
        return (ROOT / arguments[0]).is_file()
    return False


def downloads() -> set[str]:
    """The names of SOURCES in datasets/download.py."""
    for node in ast.walk(ast.parse((ROOT / "datasets" / "download.py").read_text())):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "SOURCES":
            assert isinstance(node.value, ast.Dict)
            return {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    raise AssertionError("datasets/download.py has no SOURCES")


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_command_asks_for_what_is_there(name: str) -> None:
    words = OTHERS[name]
    assert known(words), f"{shlex.join(words)}: unknown, or it asks for what is not there"


@pytest.fixture(scope="module")
def working_folder(tmp_path_factory: pytest.TempPathFactory, example_files: Path) -> Path:
    """What the README takes for granted: a data set, weights, photos."""
    folder = tmp_path_factory.mktemp("reader")
    generate(root=folder / "my_data", splits={"train": 2, "val": 2}, seed=1, image_side=128)
    backbone = ResNet(depth=50, stride_in_1x1=True, norm="frozen", frozen_stages=[], bin_step=2)
    torch.save(backbone.state_dict(), folder / "r50.pt")  # as import_weights.py makes it
    shutil.copy(example_files / "best.pt", folder / "published.pt")
    shutil.copytree(folder / "my_data" / "val", folder / "photos")
    shutil.copy(next((folder / "photos").iterdir()), folder / "photo.jpg")
    return folder


def test_the_commands_of_the_readme_run(
    working_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detect, check, train, test, then the blocks of Python: as they stand, on small pictures."""
    monkeypatch.chdir(working_folder)
    done = []
    for program, *words in shell_commands(ROOT / "README.md"):
        if program != "detection" or words[0] == SERVES:  # pip, which installs it
            continue
        name, *arguments = (FETCHED.get(word, word) for word in words)
        monkeypatch.setattr(sys, "argv", [program, name, *arguments, *SMALL[name]])
        main()
        done.append(name)
    assert done == ["detect", "check", "train", "test", "detect", "show-data", "show-data"]
    for output in ("out", "outputs/photos"):
        assert (working_folder / output / "detections.json").is_file()
        assert [*(working_folder / output / "drawn").iterdir()]
    # These pages' blocks have tests of their own.
    pages = [page for page in PAGES if page.name not in ("CONTRIBUTING.md", "api.md", "serve.md")]
    python = [block for page in pages for language, block in blocks(page) if language == "python"]
    assert python
    for block in python:
        for name, file in FETCHED.items():
            block = block.replace(name, file)
        exec(compile(block, "a page", "exec"), {})
    assert Path("drawn.jpg").is_file()
