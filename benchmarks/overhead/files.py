# SPDX-License-Identifier: Apache-2.0
"""What the script by hand works with: the same files, command lines and variables that kadeploy would use.

They are taken from kadeploy's own plan of the deployment, before any time is measured.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.overhead.node import MeasuredNode
from kadeploy.boot import profile
from kadeploy.boot.repository import BootRepository
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.disks import bootloader, filesystems, partitioning
from kadeploy.disks.layout import Role
from kadeploy.disks.partitions import update_partitions
from kadeploy.lab.bmc import CIPHER_SUITE
from kadeploy.operations.deploy.plan import DeploymentPlan, Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.request import EnvironmentName
from kadeploy.power.ways.ipmi import IpmiAccount
from kadeploy.steps.facts import DeploymentFacts, PostInstall
from kadeploy.store.boot_orders import BootOrders
from kadeploy.store.store import Store


def write_inputs(environment: str, node: MeasuredNode) -> Path:
    """Write everything for by-hand.sh below the user's directory; the file that it is to be given."""
    work = node.lab.directory
    request = DeploymentRequest(
        user="root",
        nodes=(node.name,),
        environment=EnvironmentName(environment),
        keys=node.lab.key.read_text(),
    )
    plan = asyncio.run(_plan(node.plan.config, request))
    facts = plan.clusters[0].facts
    inputs = work / "inputs"
    inputs.write_text("".join(_assignments(node, plan.site, facts)))
    _write_ssh_files(plan.site, facts, work)
    (work / "layout.sfdisk").write_text(partitioning.sfdisk_script(facts.layout))
    (work / "install-grub").write_bytes(bootloader.install_grub_script())
    (work / "disk.profile").write_text(BootRepository.of(plan.site).local_disk_profile())
    return inputs


async def _plan(directory: Path, request: DeploymentRequest) -> DeploymentPlan:
    site = configuration.load(directory)
    async with Store.open(site.path(site.server.database.name)) as store:
        return await Planner(site, store, lambda *_: None).plan(request)


def renew_profile(inputs: Path, node: MeasuredNode) -> None:
    """A new profile of the miniOS with a secret that no earlier boot had, and no order to boot before it."""
    asyncio.run(_remove_order(node))
    values = dict(line.split("=", 1) for line in inputs.read_text().splitlines() if "=" in line)
    work = Path(shlex.split(values["WORK"])[0])
    token = profile.make_secret()
    template = (work / "minios.template").read_text()
    (work / "minios.profile").write_text(profile.fill(template, token))
    lines = [line for line in inputs.read_text().splitlines() if not line.startswith("TOKEN=")]
    inputs.write_text("\n".join([*lines, f"TOKEN={profile.SECRET_PARAMETER}={token}", ""]))


async def _remove_order(node: MeasuredNode) -> None:
    """Remove what a deployment has left: a node with an order gets no file."""
    site = configuration.load(node.plan.config)
    async with Store.open(site.path(site.server.database.name)) as store:
        await BootOrders(store).remove(node.name)


def _assignments(node: MeasuredNode, site: Site, facts: DeploymentFacts) -> list[str]:
    key, work, boot = node.lab.key, node.lab.directory, BootRepository.of(site)
    known = next(iter(facts.nodes.values()))
    ipmi = facts.cluster.remoteops.account("ipmi")
    swap = facts.layout.device(Role.SWAP)
    assert isinstance(ipmi, IpmiAccount) and swap is not None, "the lab has both"
    (work / "minios.template").write_text(
        boot.minios_profile(
            kernel=facts.minios.kernel,
            initrd=facts.minios.initrd,
            params=facts.cluster.boot.kernels.deploy.params,
            secret=True,
        )
    )
    variables = facts.variables(known)
    archives = [*facts.admin_archives, *facts.user_archives]
    values = {
        "WORK": str(work),
        "KEY": str(key),
        "ADDRESS": known.address,
        "BMC": known.bmc,
        "BMC_USER": ipmi.user,
        "BMC_PASSWORD": str(site.directory / ipmi.password_file),
        "BMC_CIPHER": str(CIPHER_SUITE),
        "PROFILE": str(boot.root / boot.profile_path(known)),
        "DISK": facts.target.block_device,
        "TARGET": facts.target.device,
        "ROOT": facts.extraction_dir,
        "ARCHIVES": facts.archive_dir,
        "SHOW_PARTITIONS": _show_partitions(node, facts),
        "MAKE_FILESYSTEM": _mkfs(facts.environment.filesystem, facts.target.device),
        "MAKE_SWAP": _mkfs("swap", swap),
        "IMAGE_URL": _publish(boot, facts),
        "IMAGE_SHA256": facts.image_sha256,
        "DECOMPRESS": shlex.join(facts.environment.image.compression.facts.decompress),
        "KERNEL": facts.environment.boot.kernel,
        "INITRD": facts.environment.boot.initrd,
        "VARIABLES": shlex.join(f"{name}={value}" for name, value in variables.items()),
    }
    return [*_scalars(values), *_arrays(archives)]


def _scalars(values: Mapping[str, str]) -> list[str]:
    return [f"{name}={shlex.quote(value)}\n" for name, value in values.items()]


def _arrays(archives: Sequence[PostInstall]) -> list[str]:
    paths = shlex.join(str(archive.file.path) for archive in archives)
    scripts = shlex.join(shlex.join([f"./{archive.script[0]}", *archive.script[1:]]) for archive in archives)
    return [f"POST_INSTALLS=({paths})\n", f"POST_INSTALL_SCRIPTS=({scripts})\n"]


def _show_partitions(node: MeasuredNode, facts: DeploymentFacts) -> str:
    """The command behind sfdisk: none, except where the node's kernel is this machine's and must be told."""
    if node.plan.driver == "qemu":
        return ":"
    return shlex.join(update_partitions(facts.target.block_device, [facts.target.device]))


def _mkfs(filesystem: str, device: str) -> str:
    return shlex.join(filesystems.mkfs_command(filesystem, device))


def _publish(boot: BootRepository, facts: DeploymentFacts) -> str:
    """Put the image where the boot server serves it; its URL."""
    published = boot.root / "images" / "by-hand"
    published.unlink(missing_ok=True)
    try:
        os.link(facts.image.path, published)
    except OSError:
        published.write_bytes(facts.image.path.read_bytes())
    return f"{boot.base_url}/images/by-hand"


def _write_ssh_files(site: Site, facts: DeploymentFacts, work: Path) -> None:
    node = next(iter(facts.nodes.values()))
    options = {
        "HostName": node.address,
        "User": "root",
        "IdentityFile": site.path(site.server.ssh_private_key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": work / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "accept-new",  # the miniOS makes a key at each boot
        "HostKeyAlgorithms": "ssh-ed25519",
        "BatchMode": "yes",
        "ControlMaster": "auto",
        "ControlPath": work / "master",
        "ControlPersist": "600",
        "LogLevel": "ERROR",
    }
    lines = ["Host node", *(f"    {name} {value}" for name, value in options.items())]
    (work / "ssh_config").write_text("\n".join([*lines, ""]))
