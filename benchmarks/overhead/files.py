# SPDX-License-Identifier: Apache-2.0
"""What the script by hand works with: the same files, command lines and variables that kadeploy would use.

They are taken from kadeploy's own plan of the deployment, before any time is measured.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.overhead.node import MeasuredNode
from kadeploy.boot.profile import TOKEN_PARAMETER
from kadeploy.config import site as configuration
from kadeploy.disks import bootloader, filesystems, partitioning
from kadeploy.disks.layout import Role
from kadeploy.lab.bmc import CIPHER_SUITE
from kadeploy.operations.deploy.plan import Planner
from kadeploy.operations.deploy.request import DeploymentRequest, EnvironmentName
from kadeploy.power.ways.ipmi import IpmiAccount
from kadeploy.steps.deployment import DeploymentWorkbench, PostInstall
from kadeploy.store.store import Store

TOKEN = "0" * 16  # in the template of the miniOS' profile


def write_inputs(environment: str, node: MeasuredNode) -> Path:
    """Write everything for by-hand.sh below the user's directory; the file that it is to be given."""
    work = node.lab.directory
    request = DeploymentRequest("root", (node.name,), EnvironmentName(environment), node.lab.key.read_bytes())
    deployment = asyncio.run(_plan(node.plan.config, request))
    inputs = work / "inputs"
    inputs.write_text("".join(_assignments(node, deployment)))
    _write_ssh_files(deployment, work)
    (work / "layout.sfdisk").write_text(partitioning.sfdisk_script(deployment.layout))
    (work / "install-grub").write_bytes(bootloader.install_grub_script())
    (work / "disk.profile").write_text(deployment.boot.local_disk_profile())
    return inputs


async def _plan(directory: Path, request: DeploymentRequest) -> DeploymentWorkbench:
    site = configuration.load(directory)
    async with Store.open(site.path(site.server.database.name)) as store:
        plan = await Planner(site, store, lambda *_: None).plan(request, lambda _: None)
    return plan.parts[0].machines


def renew_profile(inputs: Path) -> None:
    """A new profile of the miniOS with a token that no earlier boot had."""
    values = dict(line.split("=", 1) for line in inputs.read_text().splitlines() if "=" in line)
    work = Path(shlex.split(values["WORK"])[0])
    token = secrets.token_hex(8)
    template = (work / "minios.template").read_text()
    (work / "minios.profile").write_text(template.replace(TOKEN, token))
    lines = [line for line in inputs.read_text().splitlines() if not line.startswith("TOKEN=")]
    inputs.write_text("\n".join([*lines, f"TOKEN={TOKEN_PARAMETER}={token}", ""]))


def _assignments(node: MeasuredNode, deployment: DeploymentWorkbench) -> list[str]:
    key, work = node.lab.key, node.lab.directory
    known = next(iter(deployment.nodes.values()))
    ipmi = deployment.cluster.remoteops.account("ipmi")
    swap = deployment.layout.device(Role.SWAP)
    assert isinstance(ipmi, IpmiAccount) and swap is not None, "the lab has both"
    (work / "minios.template").write_text(
        deployment.boot.minios_profile(
            kernel=deployment.minios.kernel,
            initrd=deployment.minios.initrd,
            params=deployment.cluster.boot.kernels.deploy.params,
            token=TOKEN,
        )
    )
    variables = deployment.variables(known)
    archives = [*deployment.admin_archives, *deployment.user_archives]
    values = {
        "WORK": str(work),
        "KEY": str(key),
        "ADDRESS": known.address,
        "BMC": known.bmc,
        "BMC_USER": ipmi.user,
        "BMC_PASSWORD": str(deployment.site.directory / ipmi.password_file),
        "BMC_CIPHER": str(CIPHER_SUITE),
        "PROFILE": str(deployment.boot.profile_path(known)),
        "DISK": deployment.target.block_device,
        "TARGET": deployment.target.device,
        "ROOT": deployment.extraction_dir,
        "ARCHIVES": deployment.archive_dir,
        "SHOW_PARTITIONS": _show_partitions(node, deployment),
        "MAKE_FILESYSTEM": _mkfs(deployment.environment.filesystem, deployment.target.device),
        "MAKE_SWAP": _mkfs("swap", swap),
        "IMAGE_URL": _publish(deployment),
        "IMAGE_SHA256": deployment.image_sha256,
        "DECOMPRESS": shlex.join(deployment.environment.image.compression.facts.decompress),
        "KERNEL": deployment.environment.boot.kernel,
        "INITRD": deployment.environment.boot.initrd,
        "VARIABLES": shlex.join(f"{name}={value}" for name, value in variables.items()),
    }
    return [*_scalars(values), *_arrays(archives)]


def _scalars(values: Mapping[str, str]) -> list[str]:
    return [f"{name}={shlex.quote(value)}\n" for name, value in values.items()]


def _arrays(archives: Sequence[PostInstall]) -> list[str]:
    paths = shlex.join(str(archive.path) for archive in archives)
    scripts = shlex.join(shlex.join([f"./{archive.script[0]}", *archive.script[1:]]) for archive in archives)
    return [f"POST_INSTALLS=({paths})\n", f"POST_INSTALL_SCRIPTS=({scripts})\n"]


def _show_partitions(node: MeasuredNode, deployment: DeploymentWorkbench) -> str:
    """The command behind sfdisk: none, except where the node's kernel is this machine's and must be told."""
    if node.plan.driver == "qemu":
        return ":"
    target = deployment.target.device
    told = f"partx --update {deployment.target.block_device}"
    return f"{told} && until test -b {target}; do sleep 0.05; done"


def _mkfs(filesystem: str, device: str) -> str:
    return shlex.join(filesystems.mkfs_command(filesystem, device))


def _publish(deployment: DeploymentWorkbench) -> str:
    """Put the image where the boot server serves it; its URL."""
    published = deployment.boot.root / "images" / "by-hand"
    published.unlink(missing_ok=True)
    try:
        os.link(deployment.image.path, published)
    except OSError:
        published.write_bytes(deployment.image.path.read_bytes())
    return f"{deployment.boot.base_url}/images/by-hand"


def _write_ssh_files(deployment: DeploymentWorkbench, work: Path) -> None:
    node = next(iter(deployment.nodes.values()))
    (work / "known_hosts").write_text(f"{node.address} {deployment.minios.host_key}\n")
    options = {
        "HostName": node.address,
        "User": "root",
        "IdentityFile": deployment.site.path(deployment.site.server.ssh_private_key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": work / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlgorithms": "ssh-ed25519",
        "BatchMode": "yes",
        "ControlMaster": "auto",
        "ControlPath": work / "master",
        "ControlPersist": "600",
        "LogLevel": "ERROR",
    }
    lines = ["Host node", *(f"    {name} {value}" for name, value in options.items())]
    (work / "ssh_config").write_text("\n".join([*lines, ""]))
