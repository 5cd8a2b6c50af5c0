# SPDX-License-Identifier: Apache-2.0
"""Faults as users write them: kinds, values, and for which nodes of which labs."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.errors import KadeployError, NotFoundError, UsageError
from kadeploy.lab.faults import marks, setting, values
from kadeploy.lab.faults.kinds import FAULTS
from kadeploy.lab.faults.setting import Setting
from kadeploy.lab.faults.values import Cut
from kadeploy.lab.plan import DriverName, LabPlan


def lab(directory: Path, driver: DriverName = "container") -> LabPlan:
    plan = LabPlan("l", 3, directory, directory, directory, directory, driver=driver)
    for node in plan.nodes:
        (node.directory / marks.DIRECTORY).mkdir(parents=True)
    return plan


@pytest.mark.parametrize(
    "text",
    [
        *("no-power", "firmware-hang", "firmware-hang=2", "late-boot=0.5", "disk-full=16MiB"),
        *("slow-link=20mbit", "cut-link=5", "cut-link=5@2MiB", "lost-requests=0", "duplicate-name=node-2"),
    ],
)
def test_what_is_read_is_shown_as_it_was_written(text: str) -> None:
    assert str(setting.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("flood", NotFoundError, "no fault 'flood'"),
        ("", NotFoundError, "no fault ''"),
        ("no-power=1", UsageError, "no-power takes no value"),
        ("no-power=", UsageError, "no-power takes no value"),
        ("late-boot", UsageError, "late-boot needs a value"),
        ("firmware-hang=", UsageError, "firmware-hang needs a value"),
        ("firmware-hang=-1", UsageError, "firmware-hang: '-1' is no number"),
        ("firmware-hang=1001", UsageError, "firmware-hang: '1001' is no number"),
        ("lost-requests=²", UsageError, "'²' is no number"),
        ("late-boot=soon", UsageError, "late-boot: 'soon' is no number of seconds"),
        ("late-boot=0", UsageError, "no number of seconds"),
        ("late-boot=1e3", UsageError, "no number of seconds"),
        ("late-boot=86401", UsageError, "no number of seconds"),
        ("disk-full=16MB", UsageError, "'16MB' is no size"),
        ("slow-link=fast", UsageError, "'fast' is no rate"),
        ("cut-link=5@", UsageError, "'' is no size"),
        ("cut-link=@1MiB", UsageError, "'' is no number of seconds"),
        ("duplicate-name", UsageError, "duplicate-name needs a value"),
    ],
)
def test_refusals(text: str, kind: type[KadeployError], message: str) -> None:
    with pytest.raises(kind, match=message):
        setting.parse(text)


def test_a_fault_is_switched_off_without_its_value() -> None:
    assert setting.parse_kind("late-boot") == Setting("late-boot")
    with pytest.raises(UsageError, match="without its value"):
        setting.parse_kind("late-boot=3")


def test_a_cut() -> None:
    assert values.cut("2.5@4MiB") == Cut(2.5, 4 * 2**20)
    assert values.cut("7") == Cut(7, 0)


def test_qemu_nodes_have_fewer_faults(short_directory: Path) -> None:
    plan = lab(short_directory, "qemu")
    refused = set()
    for kind in FAULTS:
        try:
            setting.check(plan, plan.nodes[0], Setting(kind, "node-2"))
        except NotFoundError as error:
            refused.add(kind)
            assert "of qemu nodes" in error.message and kind not in error.hint
    assert refused == {kind for kind, fault in FAULTS.items() if "qemu" not in fault.drivers}


@pytest.mark.parametrize(("name", "message"), [("node-1", "its own name"), ("node-4", "no node 'node-4'")])
def test_a_duplicate_name_is_that_of_another_node(short_directory: Path, name: str, message: str) -> None:
    plan = lab(short_directory)
    with pytest.raises(KadeployError, match=message):
        setting.check(plan, plan.nodes[0], Setting("duplicate-name", name))


def test_marks(short_directory: Path) -> None:
    plan = lab(short_directory)
    node = plan.nodes[0]
    for text in ("late-boot=3", "late-boot=4", "no-power"):
        setting.switch_on(plan, node, setting.parse(text))
    assert marks.read_all(node.directory) == {"late-boot": "4", "no-power": ""}
    setting.switch_off(plan, node, "no-power")
    assert [str(mended) for mended in setting.mend(plan, node)] == ["late-boot=4"]
    assert marks.read_all(node.directory) == {}


def test_dhcp_gives_a_node_the_name_of_another(short_directory: Path) -> None:
    plan = lab(short_directory)
    setting.switch_on(plan, plan.nodes[1], setting.parse("duplicate-name=node-3"))
    names = [line.split(",")[2] for line in (short_directory / "dnsmasq.hosts").read_text().splitlines()]
    assert names == ["node-1", "node-3", "node-3"]
    setting.switch_off(plan, plan.nodes[1], "duplicate-name")
    names = [line.split(",")[2] for line in (short_directory / "dnsmasq.hosts").read_text().splitlines()]
    assert names == ["node-1", "node-2", "node-3"]
