# SPDX-License-Identifier: Apache-2.0
"""Configuration of kadeploy in a lab: server.conf, clusters.conf, the cluster's file, keys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from kadeploy.errors import NotFoundError
from kadeploy.lab import bmc
from kadeploy.lab.hardware import BLOCK_DEVICES
from kadeploy.lab.machine import CONSOLE
from kadeploy.lab.plan import BMC_USER, CLUSTER, HTTP_PORT, SERVER_ADDRESS, LabPlan, NodePlan

KERNEL_PARAMETERS = "console=ttyS0,115200 net.ifnames=0"
DEPLOY_KEY = Path("keys/id_deploy")
BMC_PASSWORD = Path("keys/bmc_password")
DEPLOY_ENV_FILES = ("vmlinuz", "initrd", "id_deploy")


def check_deploy_env(directory: Path) -> None:
    """Raises NotFoundError where the deployment environment is not complete."""
    missing = [name for name in DEPLOY_ENV_FILES if not (directory / name).is_file()]
    if missing:
        raise NotFoundError(
            f"the deployment environment {directory} has no {', '.join(missing)}",
            hint="build it with bin/build-deploy-env, or name another one with `deploy_env`",
        )


def write(plan: LabPlan, timeouts: dict[str, str], password: str) -> None:
    """Write all files into the plan's configuration directory, which exists.

    ``timeouts`` is the section of the cluster file.
    """
    (plan.config / "keys").mkdir(mode=0o700, exist_ok=True)
    _write_secret(plan.config / DEPLOY_KEY, (plan.deploy_env / "id_deploy").read_text())
    _write_secret(plan.config / BMC_PASSWORD, password + "\n")
    head = f"# Written by 'kalab up' for lab '{plan.name}'; gone with 'kalab down'.\n"
    files = {
        "server.conf": server(plan),
        "clusters.conf": clusters(plan),
        plan.cluster_file.name: cluster(plan, timeouts),
    }
    for name, content in files.items():
        (plan.config / name).write_text(head + yaml.safe_dump(content, sort_keys=False))


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


def server(plan: LabPlan) -> dict[str, Any]:
    """Content of server.conf."""
    pxelinux = plan.boot_program == "pxelinux"
    # pxelinux looks for pxelinux.cfg/AC1F000B, whatever a site would like to call it.
    profiles = {"directory": "pxelinux.cfg", "filename": "ip_hex"} if pxelinux else {"filename": "ip"}
    boot = {
        "method": "PXElinux" if pxelinux else "IPXE",
        "repository": str(plan.repository),
        "export": {"kind": "tftp" if pxelinux else "http"},
        "profiles": profiles,
    }
    return {
        "database": {"kind": "sqlite", "name": str(plan.store)},
        "rights": {"almighty_users": "root"},
        "ssh_private_key": str(DEPLOY_KEY),
        "network": {
            "server_address": SERVER_ADDRESS,
            "namespace": plan.namespace,
            "ports": {"http": HTTP_PORT},
        },
        "pxe": {"dhcp": boot},
        "cache": {"directory": str(plan.state / "cache"), "size": 5000},
    }


def clusters(plan: LabPlan) -> dict[str, Any]:
    """Content of clusters.conf."""
    groups = groupby(plan.nodes, key=lambda node: node.firmware)
    ranges = [_range(list(group), plan) for _, group in groups]
    entry = {"name": CLUSTER, "prefix": "node-", "conf_file": plan.cluster_file.name, "nodes": ranges}
    return {"clusters": [entry]}


def _range(nodes: Sequence[NodePlan], plan: LabPlan) -> dict[str, Any]:
    """Range of neighbours of one kind of firmware, which it names where it is not the cluster's."""
    first, last = nodes[0], nodes[-1]
    content: dict[str, Any] = {
        "name": f"node-[{first.index + 1}-{last.index + 1}]",
        "address": f"{_network(first.address)}.[{_host(first.address)}-{_host(last.address)}]",
        "bmc": f"{_network(first.bmc_address)}.[{_host(first.bmc_address)}-{_host(last.bmc_address)}]",
        "mac": [node.mac for node in nodes],
    }
    return content if first.firmware is plan.firmware else {**content, "firmware": first.firmware.value}


def cluster(plan: LabPlan, timeouts: dict[str, str]) -> dict[str, Any]:
    """Content of the cluster's file."""
    content: dict[str, Any] = {
        "partitioning": {"block_device": BLOCK_DEVICES[plan.disk_kind], "layout": _layout(plan)},
        "boot": {
            "firmware": plan.firmware.value,
            "kernels": {"user": {"params": KERNEL_PARAMETERS}, "deploy": _minios(plan)},
        },
        "remoteops": _remote_operations(plan),
        "timeouts": timeouts,
        # An emulated machine without processor time is silent for longer than a real one.
        "broadcast": {"silence": 15},
        # For the same reason the machines do not return at the same time.
        "gather": {"least": 20},
        "automata": {"macrosteps": _automaton()},
        "verify": {"firmware": _firmware_seconds(plan)},
        "console_log": str(plan.state / "nodes" / "HOSTNAME_SHORT" / CONSOLE),
    }
    if plan.postinstall.is_file():
        archive = {"file": str(plan.postinstall), "format": "tgz", "script": "postinstall"}
        content["postinstall"] = {"files": [archive]}
    return content


def _firmware_seconds(plan: LabPlan) -> float:
    """Seconds in which no node can come to its boot profile; nothing is known of QEMU's."""
    options = plan.container
    return max(0.0, options.boot_delay - options.boot_spread) / 2 if plan.driver == "container" else 0.0


def _minios(plan: LabPlan) -> dict[str, Any]:
    return {
        "vmlinuz": str(plan.deploy_env / "vmlinuz"),
        "initrd": str(plan.deploy_env / "initrd"),
        "params": KERNEL_PARAMETERS,
    }


def _layout(plan: LabPlan) -> list[dict[str, Any]]:
    """Partitions of a disk: ``deploy`` gets three quarters of the rest behind the small ones, ``tmp`` one."""
    small = {"bios_boot": 1, "esp": 64, "swap": 128}
    deploy = (plan.disk // 2**20 - sum(small.values())) * 3 // 4
    sizes = {**{name: f"{size}MiB" for name, size in small.items()}, "deploy": f"{deploy}MiB", "tmp": "rest"}
    return [
        {"name": name, "number": number, "size": size} for number, (name, size) in enumerate(sizes.items(), 1)
    ]


def _remote_operations(plan: LabPlan) -> dict[str, Any]:
    ipmi = {"method": "ipmi", "timeout": 20}
    soft, hard, very_hard = {"name": "soft"}, {"name": "hard"}, {"name": "very_hard"}
    return {
        "reboot": [{**soft, "method": "ssh", "timeout": 20}, {**hard, **ipmi}, {**very_hard, **ipmi}],
        "power_on": [{**hard, **ipmi}],
        "power_off": [{**soft, "method": "ssh", "timeout": 20}, {**hard, **ipmi}],
        "power_status": [{**hard, **ipmi}],
        "console": f"kalab console --name {plan.name} HOSTNAME_SHORT",
        "ipmi": {
            "user": BMC_USER,
            "password_file": str(BMC_PASSWORD),
            "port": bmc.PORT,
            "cipher_suite": bmc.CIPHER_SUITE,
        },
    }


def _automaton() -> dict[str, Any]:
    reboot = "200 + 60*n"  # a boot, a retry by a harder reboot, and the work of the other steps
    return {
        "SetDeploymentEnv": [{"type": "Untrusted", "retries": 2, "timeout": reboot}],
        "BroadcastEnv": [{"type": "Chain", "retries": 2, "timeout": "300 + 60*n"}],
        "BootNewEnv": [
            {"type": "Classical", "retries": 0, "timeout": reboot},
            {"type": "HardReboot", "retries": 1, "timeout": reboot},
        ],
    }


def _network(address: str) -> str:
    return address.rpartition(".")[0]


def _host(address: str) -> str:
    return address.rpartition(".")[2]
