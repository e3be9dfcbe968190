"""The rules that a data set is checked against: how bad it is to break each, and what helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# error: it cannot be read, trained on or measured rightly.  warning: it can, but most likely it is
# not what somebody wanted.  note: good to know.
Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Rule:
    """``what`` is wrong where it is broken; ``remedy``: what to do.

    ``is_told``: the places say it themselves, with their numbers.
    """

    severity: Severity
    what: str
    remedy: str = ""
    is_told: bool = False


RULES: dict[str, Rule] = {
    # What a reader says in its own words.
    "refused": Rule("error", "it cannot be read as it stands", is_told=True),
    "repaired": Rule("note", "repaired or left out while reading", is_told=True),
    "mended": Rule("warning", "repaired or left out while reading, but look at it", is_told=True),
    # Pictures.
    "unreadable": Rule("error", "picture that cannot be read, or not whole", is_told=True),
    "grey-end": Rule("warning", "picture that ends in plain grey, as cut ones do", "copy it again"),
    "zeros": Rule("warning", "zeros within the bytes of a JPEG: a part of it was never written",
                  "copy it again"),
    "one-colour": Rule("warning", "picture of one colour", "take it out, or copy it again"),
    "other-suffix": Rule("note", "picture of another format than its suffix says"),
    "grey": Rule("note", "grey picture, read as three equal channels"),
    "cmyk": Rule("note", "CMYK picture, read as RGB"),
    "sixteen-bits": Rule("note", "picture of 16 bits, of which the upper 8 are used, or of floats"),
    "bands": Rule("note", "picture with bands behind red, green and blue, which are left out"),
    "alpha": Rule("note", "picture with an alpha channel, which is left out"),
    "turned": Rule("note", "picture that EXIF turns: boxes are taken to be of the upright one"),
    "upside-down": Rule(
        "warning", "picture that EXIF turns upside down or mirrors, which its size does not show",
        "look whether its boxes fit the upright picture",
    ),
    "very-large": Rule("warning", "very large picture: its objects become small in training",
                       "cut it into tiles"),
    # Files.
    "not-annotated": Rule("note", "picture in the folder that no split names",
                          "annotate it, or take it away"),
    "hidden": Rule("note", "hidden file, or one that a system left, not looked at"),
    "link-outside": Rule("warning", "link to a file outside of the data set",
                         "copy the file into it"),
    # Copies.
    "same-entry": Rule("warning", "picture that a split has several times", "join its entries"),
    "same-file": Rule("warning", "the same picture under two names in one split", "keep one"),
    "leak": Rule("error", "the same picture in two splits: what is measured was learnt by heart",
                 "take it out of one"),
    "near-leak": Rule("warning", "pictures that look the same in two splits",
                      "look at both; keep copies and frames of one scene on one side"),
    "not-compared": Rule("note", "too many pictures to look for those that look the same"),
    # Boxes.
    "no-boxes": Rule("error", "split without any box"),
    "all-crowd": Rule("error", "all boxes of a split are crowds: nothing to learn or to measure",
                      "set iscrowd to 0 for single objects"),
    "all-difficult": Rule("error", "all boxes of a split are difficult: nothing to learn",
                          "set difficult to 0, or data.ignore_difficult=false"),
    "mostly-ignored": Rule("warning", "class most of whose boxes are crowd or difficult: they "
                           "teach and measure nothing",
                           "set iscrowd or difficult to 0 for plain single objects"),
    "same-annotation-id": Rule("warning", "id that two annotations have", "number them anew"),
    "same-box": Rule("warning", "the same box twice", "take one out"),
    "like-box": Rule("note", "two boxes of one class that overlap by 95 % or more",
                     "one object that was labelled twice?"),
    "two-classes": Rule("note", "one box with two classes"),
    "no-area": Rule("warning", "area of 0 or less: measured as a small object",
                    "take area out of the annotation, or correct it"),
    "other-areas": Rule("warning", "areas that most boxes cannot have: measured as objects of "
                        "another size", "give area in pixels, or take it out of the annotation"),
    "one-pixel": Rule("warning", "box of a pixel or less on a side", "a slip of the mouse?"),
    "whole-picture": Rule("warning", "nearly all boxes are as large as their pictures",
                          "a detector learns nothing of places from labels of whole pictures"),
    "half-pixels": Rule("note", "all coordinates end in .5: they count from the centres of pixels"),
    "corners": Rule("error", "boxes read as x, y, width, height look like two corners",
                    "write width and height in place of the second corner"),
    "tiny-boxes": Rule("warning", "boxes smaller than half a cell of the feature map in training",
                       "larger data.shorter_sides and data.longest, or tiles"),
    "long-boxes": Rule("warning", "boxes so long that no anchor overlaps them by half",
                       "other model.rpn.anchors.aspect_ratios; schedule=auto sets them"),
    "anchors": Rule("note", "other anchors would reach many more boxes",
                    "model.rpn.anchors.sizes and aspect_ratios; schedule=auto sets them"),
    # Classes.
    "unused-class": Rule("warning", "class without a box in any split", "take it out of the list"),
    "one-split": Rule("warning", "class that some split has no box of",
                      "without any in training it is not learnt, without any in validation not "
                      "measured"),
    "other-classes": Rule("warning", "class that is not in the lists of all splits",
                          "give all splits one list"),
    "alike-names": Rule("warning", "classes whose names differ in case, blanks or marks alone",
                        "join them"),
    "background": Rule("warning", "a class for the background: the detector has its own",
                       "take it out"),
    "few-boxes": Rule("warning", "class with fewer than 5 boxes", "annotate more, or leave it out"),
    "imbalance": Rule("note", "class with less than a hundredth of the boxes of the largest one",
                      "annotate more; data.repeat_threshold= shows such pictures more often"),
}  # fmt: skip
