# SPDX-License-Identifier: Apache-2.0
"""The documentation says what the programs do: keys, defaults, waits, options, links, examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kadeploy.boot import answers, health, http, tftp_process
from kadeploy.broadcast.interface import BroadcastOptions
from kadeploy.client.client_file import ClientConfig
from kadeploy.config import site
from kadeploy.config.automata import InstanceSetting, MacroSteps
from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.clusters import ClustersConfig
from kadeploy.config.custom_operations import CustomOperationSetting
from kadeploy.config.remote_operations import POWER_WAYS, PowerWaySetting, RemoteOperations
from kadeploy.config.server import ServerConfig
from kadeploy.environments import download
from kadeploy.environments.model import DescriptionModel
from kadeploy.operations.request import DAY
from kadeploy.operations.run import attempt, leasing
from kadeploy.operations.run import windows as operation_windows
from kadeploy.remote import connection, hostkey, links, process
from kadeploy.service.forecasts import LATEST_RUNS
from kadeploy.simulation.file import (
    BroadcastBehaviour,
    Duration,
    PowerFailure,
    SimulationFile,
    SlowNodes,
    Spread,
    StepBehaviour,
)
from kadeploy.steps import boot as steps_boot
from kadeploy.steps import (
    boot_new_env,
    bootloader,
    broadcast_env,
    custom_operation,
    power,
    set_deployment_env,
)
from kadeploy.store import schema, store, tables, windows
from kadeploy.store.statistics import FIELDS
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.deployment import MACRO_STEPS
from kadeploy.vocabulary.duration import Transmission
from kadeploy.vocabulary.micro_step import ClusterTimeout, MicroStepEntry
from kadeploy.vocabulary.names import INSTANCES
from kadeploy.workflow import window
from tests.unit import vocabulary_tables, worked_examples
from tests.unit.documented_commands import ADMINISTRATORS, COMMANDS, DOCS, USERS

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted([*DOCS.rglob("*.md"), *CHECKOUT.glob("*.md")])
MAX_COLUMNS = 110  # of prose; tables and code are as long as they are

# One table stands for all lists of the same entries.
SAME = {
    re.compile(r"remoteops\.(reboot|power_on|power_off|power_status)\[\]"): "remoteops.*[]",
    re.compile(r"automata\.macrosteps\.\w+\[\]"): "automata.macrosteps.*[]",
    re.compile(r"(?<=microsteps\[\]\.)(substitute|pre-ops|post-ops)\[\]"): "*[]",
}

# Models of which one is chosen by a key of the entry.
ENTRIES: dict[type[BaseModel], list[type[BaseModel]]] = {PowerWaySetting: [way.setting for way in POWER_WAYS]}


# What an administrator writes --------------------------------------------------------------------------


def test_the_example_can_be_loaded() -> None:
    loaded = site.load(ADMINISTRATORS / "example")
    assert len(loaded.nodes) == 34
    assert loaded.clusters["cluster"].automata.macrosteps.BootNewEnv[0].type == "Kexec"


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model in ``Model``, ``Model | None``, ``list[Model]`` or ``tuple[Model, ...]``; also annotated."""
    parts = get_args(annotation)
    for candidate in (annotation, *parts, *(inner for part in parts for inner in get_args(part))):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def is_list(field: FieldInfo) -> bool:
    return any(getattr(field.annotation, "__origin__", None) is kind for kind in (list, tuple))


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each key that can be written, with its default as the tables write it."""
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        inner = inner_model(field.annotation)
        if inner is None:
            yield path, default_of(field)
        elif is_list(field):
            if inner in (PowerWaySetting, InstanceSetting, CustomOperationSetting):
                yield path, default_of(field)
            for entry in (inner, *ENTRIES.get(inner, ())):
                yield from keys(entry, f"{path}[].")
        else:
            yield from keys(inner, f"{path}.")
    for way in POWER_WAYS if model is RemoteOperations else ():
        if way.account is not None:
            yield from keys(way.account, f"{prefix}{way.name}.")


def default_of(field: FieldInfo) -> str:
    default = field.get_default()
    if field.is_required():
        return "mandatory"
    if isinstance(default, tuple):
        return ", ".join(map(shown, default)) or "none"
    return shown(default)


def shown(value: object) -> str:
    match value:
        case InstanceSetting():
            return f"{value.type}:{value.retries}:{value.timeout}"
        case Enum():
            return str(value.value)
        case bool():
            return str(value).lower()
        case float() | int():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case None | "":
            return "empty"
    return str(value)


def rows(page: Path) -> list[list[str]]:
    """The cells of all table rows of a page."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("model", [ServerConfig, ClustersConfig, ClusterConfig, ClientConfig])
def test_every_key_is_documented_with_its_default(model: type[BaseModel]) -> None:
    documented = {row[0].strip("`"): row[1] for row in rows(ADMINISTRATORS / "configuration.md")}
    expected = {}
    for path, default in keys(model):
        for pattern, common in SAME.items():
            path = pattern.sub(common, path)
        expected[path] = default
    assert {path: documented.get(path) for path in expected} == expected


def test_no_key_is_documented_that_does_not_exist() -> None:
    known = {
        path
        for model in (ServerConfig, ClustersConfig, ClusterConfig, ClientConfig)
        for path, _ in keys(model)
    }
    for pattern, common in SAME.items():
        known |= {pattern.sub(common, path) for path in known}
    page = ADMINISTRATORS / "configuration.md"
    documented = {row[0].strip("`") for row in rows(page) if len(row) == 3 and row[0].startswith("`")}
    assert documented - known == set()


def test_the_tables_of_the_store_are_documented() -> None:
    named = [name for row in rows(ADMINISTRATORS / "store.md") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(tables.metadata.tables)


def test_every_field_of_a_description_is_documented() -> None:
    page = (USERS / "environments.md").read_text()
    # The fields of preinstall are those of a post-install.
    paths = [path for path, _ in keys(DescriptionModel) if not path.startswith("preinstall.")]
    assert [path for path in paths if f"`{path}`" not in page] == []


def test_every_key_of_a_simulation_is_documented() -> None:
    page = (USERS / "simulating.md").read_text()
    models: list[type[BaseModel]] = [
        SimulationFile,
        StepBehaviour,
        Duration,
        Spread,
        BroadcastBehaviour,
        SlowNodes,
        PowerFailure,
    ]
    names = {path.rpartition(".")[2] for model in models for path, _ in keys(model)}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_defaults_of_a_simulation_are_documented() -> None:
    page = (USERS / "simulating.md").read_text()
    instances = [instance for macro in MACRO_STEPS for instance in macro.instances]
    names = {step.name for instance in instances for step in instance.micro_steps}
    assert [name for name in names if f"`{name}`" not in page] == []
    assert f"{Transmission().rate:g} MB/s" in page and f"{LATEST_RUNS} runs" in page


# What a deployment does --------------------------------------------------------------------------------


def waits() -> Iterator[tuple[str, MicroStepEntry]]:
    for instance in INSTANCES.values():
        for step in instance.micro_steps:
            yield instance.name, step


@pytest.mark.parametrize("name", vocabulary_tables.TABLES)
def test_the_tables_of_the_vocabulary_are_up_to_date(name: str) -> None:
    page, _ = vocabulary_tables.TABLES[name]
    assert f"<!-- {name}, " in page.read_text()
    assert vocabulary_tables.renewed(page.read_text()) == page.read_text(), "run bin/format"


def section(page: Path, heading: str) -> str:
    """The text below the heading that contains a word, up to the next heading."""
    for part in re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE):
        if re.search(rf"\b{heading}\b", part.partition("\n")[0]):
            return part
    return ""


@pytest.mark.parametrize(
    ("instance", "step"), [pytest.param(*wait, id=f"{wait[0]}-{wait[1].name}") for wait in waits()]
)
def test_every_micro_step_is_in_the_table_of_waits(instance: str, step: MicroStepEntry) -> None:
    is_configured = isinstance(step.timeout, ClusterTimeout)
    deadline = f"`timeouts.{step.timeout}`" if is_configured else f"{step.timeout:g}"
    assert f"| `{step.name}` | {deadline} |" in section(USERS / "waits.md", instance)


def test_the_causes_of_failures_are_those_of_the_table() -> None:
    table = section(USERS / "verdicts.md", "Classes")
    assert re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE) == list(Cause)


def test_the_default_instances_are_in_the_table_of_waits() -> None:
    text = section(USERS / "waits.md", "Instances")
    defaults = MacroSteps()
    for macro in MacroSteps.model_fields:
        for setting in defaults.of(macro):
            row = f"| {macro}{setting.type} | {setting.retries + 1} | {setting.timeout} |"
            assert row in text


CONSTANTS = {
    "a command on a node that ends at once": steps_boot.COMMAND_TIMEOUT,
    "mkfs, a partitioning script": set_deployment_env.FORMAT_TIMEOUT,
    "a post-install script": broadcast_env.SCRIPT_TIMEOUT,
    "a custom operation": custom_operation.OPERATION_TIMEOUT,
    "the bootloader's installation": bootloader.TIMEOUT,
    "between two questions whether a node has obeyed": power.STATUS_INTERVAL,
    "loading the kernel for kexec": boot_new_env.KEXEC_LOAD_TIMEOUT,
    "between two looks whether a node answers": steps_boot.POLL_INTERVAL,
    "key exchange to look for a host key": hostkey.EXCHANGE_TIMEOUT,
    "ending what a cancelled command has left": connection.KILL_TIME,
    "a long-running program on a node": process.STOP_TIME,
    "closing all connections": links.CLOSE_TIME,
    "start of the relay on a node": BroadcastOptions().start_timeout,
    "a node without a predecessor": BroadcastOptions().patience,
    "a relay that has told this machine nothing": BroadcastOptions().report_timeout,
    "start of the TFTP server": tftp_process.START_TIMEOUT,
    "the store, for a profile over HTTP": answers.STORE_WAIT,
    "the store, for a profile over TFTP": tftp_process.STORE_WAIT,
    "counting a fetch while the store is locked": answers.COMPLETION_WAIT,
    "an answer of the boot server on its health": health.TIMEOUT,
    "a request over an HTTP connection": http.IDLE,
    "an HTTP client that takes nothing": http.STALL,
    "a place among the files": http.QUEUE_TIME,
    "another process writes": store.BUSY_TIMEOUT,
    "a store that is away, for an operation": leasing.PATIENCE,
    "another process makes or upgrades the file": schema.CREATION_WAIT,
    "a lease of a node": leasing.LEASE_SECONDS,
    "a lease of a held node": DAY,
    "a claim of a window": windows.CLAIM_SECONDS,
    "between two looks whether slots of others are free": window.POLL_FIRST,
    "a node waits for a slot to reboot": operation_windows.PATIENCE,
    "writing down the end of an operation": attempt.LIMIT,
    "attempts": download.ATTEMPTS,
}


@pytest.mark.parametrize("what", CONSTANTS)
def test_constants_are_in_the_table_of_waits(what: str) -> None:
    found = [row[1] for row in rows(USERS / "waits.md") if row[0].startswith(what) and len(row) == 2]
    assert [re.findall(r"^[\d.]+", cell) for cell in found] == [[f"{CONSTANTS[what]:g}"]]


def test_defaults_in_the_table_of_waits_are_those_of_the_configuration() -> None:
    defaults = dict(keys(ClusterConfig))
    told = re.findall(r"`([a-z.]+)` \(([\d.]+)\)", (USERS / "waits.md").read_text())
    assert told
    assert [(key, value) for key, value in told if defaults.get(key) != value] == []


def test_every_field_of_kastat_is_documented() -> None:
    page = (USERS / "statistics.md").read_text()
    assert [field for field in FIELDS if f"`{field}`" not in page] == []


# What a user types -------------------------------------------------------------------------------------


def options(command: click.Command) -> Iterator[str]:
    """The names of all options of a command and of its subcommands."""
    for parameter in command.get_params(click.Context(command)):
        if isinstance(parameter, click.Option):
            yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from options(inner)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    command, page = COMMANDS[name]
    words = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", page.read_text()))
    assert set(options(command)) - words == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_documented_that_does_not_exist(name: str) -> None:
    command, page = COMMANDS[name]
    others = {option for other, _ in COMMANDS.values() for option in options(other)} | {"-h", "--help"}
    words = {word for row in rows(page) for word in re.findall(r"`(--?[A-Za-z][\w-]*)", row[0])}
    assert words - set(options(command)) - others == set()


# The text itself ---------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        assert "://" not in link, f"{link} leaves the project"
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{target} has no heading #{anchor}"


@pytest.mark.parametrize(
    "page", sorted({*DOCS.rglob("*.md")} - {DOCS / "README.md"}), ids=lambda page: page.name
)
def test_every_page_is_reached_from_the_index(page: Path) -> None:
    index = (DOCS / "README.md").read_text()
    assert page in {(DOCS / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)\)", index)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_prose_is_not_wide(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    wide = [line for line in prose.splitlines() if len(line) > MAX_COLUMNS and line[0] not in "|#"]
    assert wide == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    names = re.findall(r"(?<![\w/.-])((?:bin|tests|docs)/[\w./-]*\w|(?:[\w-]+/)+\w+\.py)\b", text)
    made = {path for example in worked_examples.read(text) for path in example.files}
    missing = [
        name
        for name in names
        if not (CHECKOUT / name).exists() and not (CHECKOUT / "kadeploy" / name).exists() and name not in made
    ]
    assert [name for name in missing if not name.startswith("bin/pdu")] == [], "bin/pdu… is a site's own"
