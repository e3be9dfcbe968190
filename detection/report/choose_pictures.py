"""Which pictures of a data set are shown: drawn with a seed, spread over the classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

# Of the pictures shown, the part that what the reader found may take first.
_FOUND = 0.25


def choose_pictures(
    classes: Sequence[Sequence[str]], most: int | None, *, seed: int, found: Collection[int] = ()
) -> list[int]:
    """The numbers of at most ``most`` pictures, ascending; None: of all.

    ``classes``: those of the objects in each.
    ``found``: numbers of those that a reader's finding names; some of them come first.
    Then the classes take turns, those with the fewest pictures first, and pictures without objects
    are a class like others; so each class is seen, however rare.
    """
    if most is None or most >= len(classes):
        return list(range(len(classes)))
    order = np.random.default_rng(seed).permutation(len(classes)).tolist()
    named = set(found)
    chosen = dict.fromkeys([n for n in order if n in named][: max(1, int(_FOUND * most))])
    queues: dict[str, list[int]] = {}
    for number in reversed(order):  # the last of a queue comes first
        for name in {*classes[number]} or {""}:
            queues.setdefault(name, []).append(number)
    turns = sorted(queues, key=lambda name: (len(queues[name]), name))
    while len(chosen) < most:
        for name in turns:
            queue = queues[name]
            while queue and queue[-1] in chosen:
                queue.pop()
            if queue and len(chosen) < most:
                chosen[queue.pop()] = None
    return sorted(chosen)
