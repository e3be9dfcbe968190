"""Lists the published weights that have names: python tools/weights.py

A name stands where a file of weights does: of a detector in checkpoint= and init=, of a backbone in
weights=.  With names, says all that is known of these: names=[coco_r50_c4,msra_r50].  They are
downloaded at their first use; download=true does it now.
"""

from __future__ import annotations

from itertools import groupby

from omegaconf import DictConfig

from detection.cli.given import texts
from detection.weights.cache import hub_folder, kept_file
from detection.weights.download import MIRROR_VARIABLE
from detection.weights.published import PUBLISHED, Published, nearest


def main(config: DictConfig) -> None:
    names = texts(config.names or [])
    for name in names:
        if name not in PUBLISHED:
            raise ValueError(f"there are no published weights {name!r} here; {nearest(name)}")
    if config.download:
        # Torch is loaded for a download alone.
        from detection.weights.by_name import weights_file

        if not names:
            raise ValueError("download=true needs the names of what to download")
        for name in names:
            weights_file(name)
    print("\n\n".join(_details(PUBLISHED[name]) for name in names) if names else _overview())


def _overview() -> str:
    lines = []
    for (source, licence), rows in groupby(
        PUBLISHED.values(), key=lambda row: (row.source, row.licence)
    ):
        lines += [f"{source} ({licence})", ""]
        for row in rows:
            state = " (in the cache)" if kept_file(row).is_file() else ""
            lines.append(f"  {row.name:20} {row.kind:9} {row.what}: {row.result}{state}")
        lines.append("")
    return "\n".join(
        [
            *lines,
            f"The cache is {hub_folder() / 'detection'}; the environment variable TORCH_HOME moves",
            f"it. {MIRROR_VARIABLE} names a folder or a mirror to take the published files from.",
        ]
    )


def _details(row: Published) -> str:
    file, kept = row.file(), kept_file(row)
    shown = {
        "name": row.name,
        "what": row.what,
        "use": "checkpoint= or init=" if row.kind == "detector" else "weights=",
        "result": row.result,
        "licence": row.licence,
        "source": row.source,
        "file": file.address,
        "checked by": file.checked_by,
        "by hand": f"put it at {hub_folder() / file.name}",
        "kept": str(kept) if kept.is_file() else f"not yet; will be {kept}",
    }
    return "\n".join(f"{key:11} {value}" for key, value in shown.items())
