"""Trains a small classifier on images that fit into memory."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tqdm import tqdm

from detection.classification.classifier import Classifier


def pretrain(
    classifier: Classifier,
    images: NDArray[np.uint8],
    classes: NDArray[np.int64],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    warmup_iterations: int,
    weight_decay: float,
    seed: int,
) -> None:
    """AdamW over ``images`` uint8 [M, H, W, 3], mirrored at random; the rate falls to zero.

    ``classes``: int64 [M].  AdamW, because the few hundred steps of a demo are not enough for SGD
    from random weights.  The classifier is left in training mode, its BN running averages as
    they come: follow with :func:`detection.classification.bn_statistics.freeze_statistics`.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(classifier.parameters(), learning_rate, weight_decay=weight_decay)
    per_epoch = max(len(images) // batch_size, 1)
    classifier.train()
    with tqdm(total=epochs * per_epoch, unit="it", desc="pre-training") as bar:
        for _ in range(epochs):
            order = random.permutation(len(images))
            for batch in np.array_split(order, per_epoch):
                for group in optimizer.param_groups:
                    warm = min(1.0, (bar.n + 1) / max(warmup_iterations, 1))
                    group["lr"] = learning_rate * warm * (1 - bar.n / bar.total)
                mirrored = np.where(
                    random.random(len(batch))[:, None, None, None] < 0.5,
                    images[batch, :, ::-1],
                    images[batch],
                )
                logits = classifier(torch.from_numpy(mirrored))
                loss = F.cross_entropy(logits, torch.from_numpy(classes[batch]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.update()
                bar.set_postfix(loss=f"{float(loss.detach()):.3f}", refresh=False)


@torch.inference_mode()
def accuracy(
    classifier: Classifier,
    images: NDArray[np.uint8],
    classes: NDArray[np.int64],
    *,
    batch_size: int,
) -> float:
    """The part of ``images`` that ``classifier``, in evaluation mode, puts in the right class."""
    classifier.eval()
    correct = 0
    for start in range(0, len(images), batch_size):
        found = classifier(torch.from_numpy(images[start : start + batch_size])).argmax(dim=1)
        correct += int((found.numpy() == classes[start : start + batch_size]).sum())
    return correct / len(images)
