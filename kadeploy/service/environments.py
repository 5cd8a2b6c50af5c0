# SPDX-License-Identifier: Apache-2.0
"""Use cases of recorded environments for one caller: the rights, the files that are named, the registry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.environments import description, registry
from kadeploy.environments.cache import FileCache
from kadeploy.environments.compression import Compression
from kadeploy.environments.description import Description
from kadeploy.environments.environment import Environment, Visibility
from kadeploy.environments.examination import Examination, ExaminedEnvironment
from kadeploy.environments.location import is_http, local_path
from kadeploy.environments.progress import Progress, ignore_progress
from kadeploy.environments.recompression import advice, recompress_in_thread
from kadeploy.environments.registry import Viewer
from kadeploy.errors import RefusedError
from kadeploy.service.description_document import DescriptionDocument
from kadeploy.service.named_environments import NamedEnvironments
from kadeploy.service.rights import Action, Rights
from kadeploy.service.served_files import check_served, files_of
from kadeploy.service.views.environments import (
    EnvironmentsView,
    RecompressedImageView,
    RecordedEnvironmentView,
)
from kadeploy.store.store import Store


@dataclass(frozen=True, slots=True)
class EnvironmentService:
    """Service by which one caller records and changes environments of one site."""

    store: Store
    caller: Caller
    site: Site

    async def record(self, described: Description, owner: str | None = None) -> RecordedEnvironmentView:
        """Record the environment of a description with the digests of its files.

        Raises NotFoundError and RefusedError: a file is missing, is not what the description says, the caller
        may not, or the environment exists already.
        """
        environment = described.environment(described.owner or owner or self.caller.name)
        self._check_rights([environment])
        await registry.check_new(self.store, environment)
        found = await self._examination.examine(environment, complete=False)
        examined = found.environment
        await registry.add(self.store, examined)
        return RecordedEnvironmentView.of(examined, _advice_of(found))

    async def record_document(self, document: DescriptionDocument) -> RecordedEnvironmentView:
        """Record the environment of a description that comes from another program.

        Raises as ``record``, FileError for a wrong description, RefusedError for files of other places, see
        served_files.
        """
        # JSON is YAML: all checks of a description are those of its file.
        described = description.parse(json.dumps(document.description, ensure_ascii=False), "description")
        await check_served(self.site, files_of(described.environment("")))
        return await self.record(described, document.owner)

    async def find(self, named: NamedEnvironments) -> EnvironmentsView:
        """Find environments; raises NotFoundError, and RefusedError where several owners have one."""
        return EnvironmentsView.of(await self._find(named, named.owner))

    async def list_visible(self, named: NamedEnvironments) -> EnvironmentsView:
        """List the environments that the caller sees; ``%`` in the name stands for any text."""
        version = named.version
        found = await registry.list_visible(
            self.store,
            self._viewer,
            owner=named.owner,
            pattern=named.name,
            all_versions=named.all_versions or version is not None,
        )
        return EnvironmentsView.of([item for item in found if version is None or item.version == version])

    async def delete(self, named: NamedEnvironments) -> None:
        """Delete environments."""
        found = await self._find_own(named)
        for environment in found:
            self._check_owner(environment)
        await registry.remove(self.store, found)

    async def change_visibility(self, named: NamedEnvironments, visibility: str) -> None:
        """Set the visibility of environments."""
        found = await self._find_own(named)
        await self._replace([replace(item, visibility=Visibility(visibility)) for item in found])

    async def toggle_destructive(self, named: NamedEnvironments) -> None:
        """Invert the mark of each of these environments."""
        found = await self._find_own(named)
        await self._replace([replace(item, destructive=not item.destructive) for item in found])

    async def update_digests(self, named: NamedEnvironments, part: str) -> None:
        """Record the present digests of ``image``, ``preinstall`` or ``postinstalls``.

        Raises RefusedError where none has changed, as Kadeploy3 does.
        """
        found = await self._find_own(named)
        self._check_rights(found)
        changed = [await self._examination.refresh(item, part) for item in found]
        if changed == list(found):
            raise RefusedError(f"nothing has changed: {part} of {found[0].label} is what is recorded")
        await registry.replace_recorded(self.store, changed)

    async def recompress(
        self, named: NamedEnvironments, progress: Progress = ignore_progress
    ) -> RecompressedImageView:
        """Recompress the image with zstd to a new file, and record that as the image. The old file stays.

        Raises RefusedError where it is zstd already, is on another machine, or is not what is recorded, and
        for several environments; NotFoundError where it is gone.
        """
        found = await self._find_own(named)
        if len(found) > 1:
            hint = "name its `version`"
            raise RefusedError(f"{len(found)} environments {named.name} are there: recompress one", hint=hint)
        [environment] = found
        self._check_rights(found)
        image = environment.image
        if image.compression is Compression.ZSTD:
            raise RefusedError(f"nothing has changed: the image of {environment.label} is zstd already")
        if is_http(image.file):
            hint = "compress it where it is made: zstd -10 --long"
            raise RefusedError(f"{image.file} is on another machine", hint=hint)
        made = await recompress_in_thread(image, progress)
        file = image.file.removesuffix(local_path(image.file).name) + made.path.name
        changed = replace(image, file=file, compression=Compression.ZSTD, sha256=made.sha256)
        try:
            await registry.replace_recorded(self.store, [replace(environment, image=changed)])
        except BaseException:
            made.path.unlink()
            raise
        return RecompressedImageView.of(environment, made)

    @property
    def _rights(self) -> Rights:
        return Rights.of(self.site)

    @property
    def _viewer(self) -> Viewer:
        return Viewer(self.caller.name, self._rights.is_almighty(self.caller))

    @property
    def _examination(self) -> Examination:
        return Examination(FileCache.of(self.site), self.site.server.environments)

    async def _find(self, named: NamedEnvironments, owner: str | None) -> list[Environment]:
        found = await registry.find_versions(
            self.store, named.name, self._viewer, owner=owner, version=named.version
        )
        return found if named.all_versions else found[-1:]

    async def _find_own(self, named: NamedEnvironments) -> list[Environment]:
        """Environments to change: those of the caller unless an owner is named."""
        return await self._find(named, named.owner or self.caller.name)

    async def _replace(self, changed: Sequence[Environment]) -> None:
        self._check_rights(changed)
        await registry.replace_recorded(self.store, changed)

    def _check_rights(self, found: Sequence[Environment]) -> None:
        """Check the right to have these recorded as they are; raises RefusedError."""
        for environment in found:
            self._check_owner(environment)
            owner, public = environment.owner, environment.visibility is Visibility.PUBLIC
            if public and not self._may(Action.PUBLISH_ENVIRONMENT, owner):
                raise RefusedError(
                    f"environments of {owner} may not be public",
                    hint="use shared: others name the owner with `owner`",
                )

    def _check_owner(self, environment: Environment) -> None:
        if not self._may(Action.CHANGE_ENVIRONMENT, environment.owner):
            raise RefusedError(f"{self.caller.name} may not change environments of {environment.owner}")

    def _may(self, action: Action, owner: str) -> bool:
        return self._rights.may(self.caller, action, owner=owner)


def _advice_of(found: ExaminedEnvironment) -> str:
    """Advice about an environment that was recorded, '' for none."""
    image = found.environment.image
    if not found.content.missing:
        return advice(found.environment)
    text = f"{image.file} {found.content.missing}: something must make it on the nodes, after the unpacking"
    return "; ".join(filter(None, [text, found.content.hint]))
