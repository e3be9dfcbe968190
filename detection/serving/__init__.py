"""A detector behind a page and an HTTP endpoint: docs/serve.md.

``service.py`` is the path of one request.  FastAPI and uvicorn come with the extra ``serve``.
"""
