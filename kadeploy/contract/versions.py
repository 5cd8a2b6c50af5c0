# SPDX-License-Identifier: Apache-2.0
"""Versions that client and server tell each other with each request and answer."""

from importlib.metadata import version

VERSION_HEADER = "kadeploy-version"


def own_version() -> str:
    """Version of this program."""
    return version("kadeploy")
