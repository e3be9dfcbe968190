"""Detects behind a web page and an HTTP endpoint: detection serve best.pt

docs/serve.md says what the endpoint takes and answers.  The detector is loaded once; what a request
may choose are the steps of inference, files of configs/inference/, and the threshold.
"""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from omegaconf import DictConfig

from detection.cli.compose import compose_unchecked
from detection.cli.given import texts
from detection.cli.objects import as_given, as_plain, make
from detection.cli.objects import detector as make_detector
from detection.engine.runtime import set_up_runtime
from detection.engine.stop import Stopped, StopRequest
from detection.inference.detector import Detector
from detection.inference.steps import Inference

log = logging.getLogger("serve")


def main(config: DictConfig) -> None:
    """Ends by a signal, as it is meant to: the exit code is 0."""
    serving = _server()
    from detection.serving.app import Served
    from detection.serving.limits import Limits
    from detection.serving.steps import Steps

    bound = serving.bind(config.host, config.port)
    with suppress(Stopped), bound, StopRequest() as stop:
        with stop.nothing_to_lose():
            runtime = set_up_runtime(**config.runtime)
            detector = make_detector(config, runtime)
            steps = Steps(detector, _named_steps(config, detector))
        address = serving.address_of(bound)
        names = [Path(each).name for each in texts(config.checkpoint)]
        if serving.is_open(bound):
            log.warning(
                "host=%s is open to the network: whoever reaches this machine can use it, without "
                "a password and without encryption",
                config.host,
            )

        def say() -> None:
            log.info(
                "%s has %s (%d classes) with %s; Ctrl-C stops it",
                address, ", ".join(names), len(detector.class_names), ", ".join(steps.names),
            )  # fmt: skip
            if config.open:
                webbrowser.open(address)

        serving.serve(
            bound,
            Served(detector, names, [*config.names, config.host]),
            steps=steps,
            limits=Limits(**as_plain(config.limits)),
            batch_size=config.batch_size,
            readers=runtime.workers,
            should_stop=lambda: stop.is_made,
            on_start=say,
        )
        if stop.is_made:
            log.info("stopped; all that was in work is answered")


def _server() -> ModuleType:
    try:
        import python_multipart  # noqa: F401

        from detection.serving import server
    except ImportError as error:
        raise ImportError(
            f'a server needs FastAPI and uvicorn: pip install "detection[serve]" ({error})'
        ) from None
    return server


def _named_steps(config: DictConfig, detector: Detector) -> Mapping[str, Inference]:
    """Those of configs/inference/, under what the configuration says in their place."""
    found = {}
    for name in config.steps:
        steps = make(compose_unchecked("serve", [f"inference={name}"]).inference)
        found[name] = as_given(config, steps, detector.class_names)
    return found
