# SPDX-License-Identifier: Apache-2.0
"""File client.conf: the servers that commands may ask, by names."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from kadeploy.config.yaml_file import FileModel, load_file


class KnownServer(FileModel):
    """Server with a name; ``socket`` is a path on this machine."""

    name: str = Field(min_length=1, pattern="^[^/]*$")
    socket: Path


class ClientConfig(FileModel):
    """Content of client.conf; ``default`` is the server that is asked where none is named, '' for none."""

    default: str = ""
    servers: tuple[KnownServer, ...] = ()

    @model_validator(mode="after")
    def _default_is_known(self) -> Self:
        if self.default and self.default not in self.sockets:
            raise ValueError(f"default: there is no server {self.default}")
        return self

    @property
    def sockets(self) -> dict[str, Path]:
        """Paths of the sockets by the names of servers."""
        return {server.name: server.socket for server in self.servers}

    @property
    def default_socket(self) -> Path | None:
        """Path of the socket of the default."""
        return self.sockets[self.default] if self.default else None


def read(path: Path) -> ClientConfig:
    """Read a file; raises NotFoundError, FileError with all its problems."""
    return load_file(path, ClientConfig)
