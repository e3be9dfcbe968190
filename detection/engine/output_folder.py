"""The folder that a command writes its results to: who may write there, and what may be removed.

One rule for all commands: a folder that holds results is refused, gone on with, or replaced.  Only
files that the project wrote are ever removed: those that the folder's marker lists.  Without a
marker a folder is none of ours: other programs call their files best.pt, too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detection.atomic_write import remove_leftovers
from detection.engine.distributed import Processes
from detection.engine.folder_lock import (
    LOCK,
    listed,
    locked,
    read_marker,
    removed_if_nothing_is_written,
    write_marker,
)
from detection.engine.worst_pictures import PATTERNS
from detection.run_marker import MARKER
from detection.version import __version__

# Of a training, besides its checkpoints, its log and its metrics.
_OF_TRAINING = ("config.yaml", "split.json", "loss.png", "report.html")
_TENSORBOARD = "tensorboard/events.out.tfevents.*"


@dataclass(frozen=True, kw_only=True)
class OutputFolder:
    """The output folder of one run of ``command``.

    ``files``: what the run writes, by names relative to ``path``.  ``patterns``: the same as globs.
    ``runs``: folders in it that hold the results of further commands, with markers of their own.
    ``own_folders``: folders in it where nothing may lie that the run did not write.
    ``reads``: files that the run reads, which it must neither remove nor overwrite.
    ``settings``: what a run that goes on must have in common with the one before.
    """

    path: Path
    command: str
    files: Sequence[str] = ()
    patterns: Sequence[str] = ()
    runs: Sequence[str] = ()
    own_folders: Sequence[str] = ()
    reads: Sequence[Path] = ()
    settings: dict[str, Any] | None = None
    can_resume: bool = True

    @contextmanager
    def taken(
        self, *, resume: bool = False, overwrite: bool = False, processes: Processes | None = None
    ) -> Iterator[bool]:
        """Holds the folder for a run; yields whether a run of ``command`` had begun in it before.

        ``resume``: goes on with what is there.  ``overwrite``: replaces what earlier runs wrote.
        ``processes``: all of them must call this; the first one does the work.
        Raises ValueError, in all processes, for a folder that cannot be taken, as it then is.
        """
        everybody = processes or Processes(0, 1, 0)
        with ExitStack() as stack:
            begun, problem = False, None
            if everybody.is_first:
                try:
                    begun = stack.enter_context(self._held(resume=resume, overwrite=overwrite))
                except (ValueError, OSError) as error:
                    problem = error
                    if everybody.world_size == 1:
                        raise
            begun, message = everybody.from_first((begun, problem and str(problem)))
            if message is not None:
                raise ValueError(message)
            yield begun

    @contextmanager
    def _held(self, *, resume: bool, overwrite: bool) -> Iterator[bool]:
        if resume and overwrite:
            raise ValueError("resume=true goes on with a run, overwrite=true replaces it: give one")
        if not (self.path / MARKER).is_file():  # else it may be in use, which is to be said first
            self.check(resume=resume, overwrite=overwrite)
        with removed_if_nothing_is_written(self.path), locked(self.path):
            before = read_marker(self.path)
            self.check(resume=resume, overwrite=overwrite)
            if overwrite:
                self._remove_earlier_runs()
            for folder in self._written_folders():
                remove_leftovers(folder)
            begun = resume and before is not None
            files, patterns, runs = self.files, self.patterns, self.runs
            if begun:
                files, patterns, runs = (
                    sorted({*mine, *listed(before, key)})
                    for mine, key in ((files, "files"), (patterns, "patterns"), (runs, "runs"))
                )
            marker: dict[str, Any] = {
                "command": self.command, "version": __version__, "state": "running",
                "host": socket.gethostname(), "process": os.getpid(), "settings": self.settings,
                "files": [*files], "patterns": [*patterns], "runs": [*runs],
            }  # fmt: skip
            write_marker(self.path, marker)
            try:
                yield begun
            except BaseException:
                write_marker(self.path, marker | {"state": "interrupted"})
                raise
            write_marker(self.path, marker | {"state": "finished"})

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Raises ValueError if the run may not have the folder; changes nothing."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise ValueError(f"{self.path} is a file: choose another output_dir")
        marker, own = read_marker(self.path), self._earlier_files()
        self._check_inputs(own if overwrite else [])
        self._check_foreign(own)
        if overwrite:
            return
        if resume:
            self._check_same(marker)
        elif own:  # a run that failed before it wrote anything has left a marker alone
            witness = own[0].relative_to(self.path)
            goes_on = "go on from it with resume=true, " if self.can_resume else ""
            raise ValueError(
                f"{self.path} holds the results of a run ({witness}): {goes_on}replace them with "
                "overwrite=true, or choose another output_dir"
            )

    def _check_same(self, marker: dict[str, Any] | None) -> None:
        if marker is None:
            return
        if marker.get("command") != self.command:
            raise ValueError(
                f"{self.path} holds a run of {marker.get('command')}, and resume=true goes on with "
                f"one of {self.command}: replace it with overwrite=true, or choose another "
                "output_dir"
            )
        before, now = marker.get("settings"), self.settings
        if before is None or now is None:
            return
        differing = sorted(
            key for key in before.keys() | now.keys() if before.get(key) != now.get(key)
        )
        if differing:
            key = differing[0]
            raise ValueError(
                f"{self.path} was begun with another {', '.join(differing)} ({key}: "
                f"{before.get(key)!r}, now {now.get(key)!r}): resume=true needs the same; replace "
                "the results with overwrite=true, or choose another output_dir"
            )

    def _check_inputs(self, removed: Sequence[Path]) -> None:
        """What the run reads, it may not write or remove."""
        written = (self.path / name for name in self.files)
        lost = {path.resolve() for path in (*written, *removed)}
        for path in self.reads:
            if path.resolve() in lost:
                raise ValueError(
                    f"{path} is read by this run, which would overwrite it in {self.path}: choose "
                    "another output_dir"
                )

    def _check_foreign(self, own: Sequence[Path]) -> None:
        """Nobody's files are overwritten, or taken for results."""
        known = set(own)
        places = [self.path / name for name in self.files]
        for name in self.own_folders:
            places += sorted((self.path / name).rglob("*"))
        for path in places:
            if path not in known and path.is_file():
                raise ValueError(
                    f"{self.path} holds {path.relative_to(self.path)}, which no run of ours wrote "
                    f"(by its {MARKER}): move it away, or choose another output_dir"
                )

    def _earlier_files(self) -> list[Path]:
        """The files that earlier runs wrote here, those of ``runs`` included."""
        marker = read_marker(self.path)
        inside: list[Path] = []
        for name in sorted(self._all_runs()):
            inner = training_folder(self.path / name, command="", reads=())
            inside += inner._earlier_files()
            inside += [path for file in (MARKER, LOCK) if (path := inner.path / file).is_file()]
        found = [self.path / name for name in sorted(listed(marker, "files"))]
        for pattern in sorted(listed(marker, "patterns")):
            found += sorted(self.path.glob(pattern))
        return [path for path in dict.fromkeys([*found, *inside]) if path.is_file()]

    def _all_runs(self) -> set[str]:
        """The folders in it that this run, or the one before, has for the runs of others."""
        return {*self.runs} | listed(read_marker(self.path), "runs")

    def _written_folders(self) -> set[Path]:
        """The folders that the run, and the ``runs`` in it, write files to."""
        written = {(self.path / name).parent for name in (*self.files, *self.patterns)}
        for name in self.runs:
            written |= training_folder(self.path / name, command="", reads=())._written_folders()
        return written | {self.path}

    def _remove_earlier_runs(self) -> None:
        with ExitStack() as stack:
            for name in sorted(self._all_runs()):
                if (self.path / name / MARKER).is_file():
                    stack.enter_context(locked(self.path / name))  # nobody is writing there
            # The marker goes last, with what it says: a killed removal can be repeated.
            for path in self._earlier_files():
                path.unlink()
                _remove_empty(path.parent, above=self.path)


def training_folder(path: Path, *, command: str, reads: Sequence[Path]) -> OutputFolder:
    """The folder of a training; the files are those of :class:`TrainingRun`."""
    return OutputFolder(
        path=path,
        command=command,
        files=("best.pt", "last.pt", "log.jsonl", "metrics.json", *_OF_TRAINING),
        patterns=(_TENSORBOARD, *PATTERNS),
        reads=reads,
    )


def _remove_empty(folder: Path, *, above: Path) -> None:
    while folder != above and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
