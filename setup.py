"""Metadata is in pyproject.toml; this file is where the extension is built."""

from setuptools import setup

setup()
