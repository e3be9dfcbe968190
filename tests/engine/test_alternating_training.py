"""The four steps: what each begins from, learns on and leaves (Ren et al. 2015, section 3.2)."""

from __future__ import annotations

from pathlib import Path

from detection.engine.alternating_training import four_steps


def test_the_four_steps_are_those_of_the_paper() -> None:
    rpn, fast_rcnn, rpn_again, fast_rcnn_again = four_steps(Path("run"))
    networks = [step.network for step in four_steps(Path("run"))]
    assert networks == ["rpn", "fast_rcnn", "rpn", "fast_rcnn"]
    # "This detection network is also initialized by the ImageNet-pre-trained model.  At this point
    # the two networks do not share convolutional layers."
    assert rpn.init is fast_rcnn.init is None
    assert (
        fast_rcnn.proposals == rpn.writes["train"] == Path("run/1_rpn/train_proposals.safetensors")
    )
    assert fast_rcnn.val_proposals == rpn.writes["val"]
    # "We use the detector network to initialize RPN training, but we fix the shared layers."
    assert rpn_again.init == fast_rcnn.last == Path("run/2_fast_rcnn/last.pt")
    # "Keeping the shared convolutional layers fixed, we fine-tune the unique layers of Fast R-CNN."
    assert fast_rcnn_again.init == rpn_again.last == Path("run/3_rpn/last.pt")
    assert fast_rcnn_again.proposals == rpn_again.writes["train"]
    assert rpn_again.writes["train"] == Path("run/3_rpn/train_proposals.safetensors")
    # Validated with the detector's own RPN, by then the one that has made the proposals.
    assert fast_rcnn_again.val_proposals is None
