# SPDX-License-Identifier: Apache-2.0
"""Files of this machine that micro-steps send to nodes."""

from __future__ import annotations

from kadeploy.environments.local_file import LocalFile
from kadeploy.environments.open_files import ChangedFileError
from kadeploy.steps.caused_error import CausedError
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.vocabulary.cause import Cause


async def read(workbench: DeploymentWorkbench, file: LocalFile, name: str) -> bytes:
    """Content of a file as it was when the operation was planned; raises CausedError with its name."""
    try:
        return await workbench.files.read(file)
    except ChangedFileError as error:
        raise CausedError(f"the {name} {error}", Cause.IMAGE, lasting=True) from error
