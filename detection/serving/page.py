"""The page to drop pictures on: one file that needs nothing but this server."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader

from detection.report.self_contained import source_of


@dataclass(frozen=True)
class Page:
    """``headers``: of all answers; they allow the page its own script and style and no other's."""

    html: str
    headers: dict[str, str]

    @classmethod
    def made(cls, *, title: str) -> Page:
        environment = Environment(
            loader=PackageLoader("detection.serving", "page"), autoescape=True
        )
        loader = environment.loader
        assert loader is not None
        script, style = (
            loader.get_source(environment, name)[0] for name in ("page.js", "page.css")
        )
        html = environment.get_template("page.html.j2").render(
            title=title, script=script, style=style
        )
        policy = (
            f"default-src 'none'; script-src {source_of(script)}; style-src {source_of(style)}; "
            "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )
        return cls(
            html,
            {
                "Content-Security-Policy": policy,
                "Cross-Origin-Resource-Policy": "same-origin",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
            },
        )
