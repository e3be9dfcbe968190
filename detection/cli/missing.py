"""What to install where an import fails, in one line."""

from __future__ import annotations


def remedy_for(error: ImportError) -> str | None:
    """None for an error that no installation mends."""
    if (error.name or "").partition(".")[0] == "cv2" or "/cv2/" in (error.path or ""):
        # Slim containers and servers have no libGL, which OpenCV's windows need.  We open none.
        return (
            f"OpenCV cannot be loaded ({error}): pip uninstall opencv-python, then pip install "
            "opencv-python-headless, which needs no such library and does all that is needed here"
        )
    if "pip install" in str(error):
        return str(error)
    return None
