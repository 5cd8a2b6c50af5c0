# SPDX-License-Identifier: Apache-2.0
"""Part of the contract that is about recorded environments."""

from __future__ import annotations

from typing import Protocol

from kadeploy.contract.endpoint import delete, get, post, put
from kadeploy.environments.progress import Progress, ignore_progress
from kadeploy.service.description_document import DescriptionDocument
from kadeploy.service.named_environments import NamedEnvironments
from kadeploy.service.views.environments import (
    EnvironmentsView,
    RecompressedImageView,
    RecordedEnvironmentView,
)

READING = 4 * 3600.0  # seconds in which images are read


class EnvironmentContract(Protocol):
    """Use cases of recorded environments."""

    @get("/environments")
    async def list_visible(self, named: NamedEnvironments) -> EnvironmentsView:
        """List the environments that the caller sees; ``%`` in the name stands for any text."""

    @get("/environments/{name}")
    async def find(self, named: NamedEnvironments) -> EnvironmentsView:
        """Find environments: the last version, one, or all."""

    @post("/environments", READING)
    async def record_document(self, document: DescriptionDocument) -> RecordedEnvironmentView:
        """Record the environment of a description with the digests of its files."""

    @delete("/environments/{name}")
    async def delete(self, named: NamedEnvironments) -> None:
        """Delete environments."""

    @put("/environments/{name}/visibility")
    async def change_visibility(self, named: NamedEnvironments, visibility: str) -> None:
        """Set the visibility of environments: private, shared or public."""

    @post("/environments/{name}/toggle-destructive")
    async def toggle_destructive(self, named: NamedEnvironments) -> None:
        """Invert the mark of each of these environments."""

    @post("/environments/{name}/update-digests", READING)
    async def update_digests(self, named: NamedEnvironments, part: str) -> None:
        """Record the present digests of ``image``, ``preinstall`` or ``postinstalls``."""

    @post("/environments/{name}/recompress", READING)
    async def recompress(
        self, named: NamedEnvironments, progress: Progress = ignore_progress
    ) -> RecompressedImageView:
        """Recompress the image with zstd to a new file, and record that as the image."""
