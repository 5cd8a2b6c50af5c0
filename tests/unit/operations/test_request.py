# SPDX-License-Identifier: Apache-2.0
"""Requests: their rules, all problems at once, and their form in JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from kadeploy.config.automata import parse_force_steps
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.environments import description
from kadeploy.environments.environment import Environment
from kadeploy.errors import ExitStatus, RequestError
from kadeploy.nodes import MAX_NODES
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.enough import parse_min_ok
from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.operations.public_keys import MAX_KEYS
from kadeploy.operations.reboot.request import MAX_PROFILE, RebootKind, RebootRequest, check_fields
from kadeploy.operations.request import EnvironmentName, Request

DEPLOYMENT = {"nodes": ["a-1", "a-2", "a-3"], "environment": {"name": "debian"}}
REBOOT = {"nodes": ["a-1", "a-2"]}
DESCRIPTION = {
    "name": "mine",
    "os": "linux",
    "image": {"file": "/image.tgz", "kind": "tar", "compression": "gzip"},
    "filesystem": "ext4",
    "boot": {"kernel": "/vmlinuz"},
}


def told(model: type[Request], document: dict[str, Any]) -> list[str]:
    """What is wrong with a document."""
    with pytest.raises(RequestError) as refused:
        model.from_json(document, "alice")
    assert refused.value.status is ExitStatus.USAGE
    assert refused.value.message == "; ".join(map(str, refused.value.problems))
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"nodes": []}, "`nodes`: no node is chosen"),
        ({"nodes": ["a-1", "a-1", "b"]}, "`nodes`: a-1 named more than once"),
        ({"nodes": [f"a-{n}" for n in range(MAX_NODES + 1)]}, "`nodes`: must have 20000 at most"),
        ({"nodes": [""]}, "`nodes.0`: must not be empty"),
        (
            {"environment": None},
            "`environment`: Input should be a dictionary or an instance of EnvironmentName",
        ),
        ({"environment": {"name": ""}}, "`environment.name`: must not be empty"),
        ({"environment": {"name": "a", "release": 1}}, "`environment.release`: Unexpected keyword argument"),
        ({"environment": {**DESCRIPTION, "filesystem": ""}}, "`environment`: 'filesystem' is missing"),
        ({"keys": "-----BEGIN PRIVATE KEY-----"}, "`keys`: holds no public keys"),
        ({"keys": "\n"}, "`keys`: holds no public keys"),
        ({"keys": "é" * MAX_KEYS}, "`keys`: 2097152 bytes are more than 1048576"),
        ({"partition": 0}, "`partition`: Input should be greater than or equal to 1"),
        ({"partition": 129}, "`partition`: Input should be less than or equal to 128"),
        ({"partition": "3"}, "`partition`: Input should be a valid integer"),
        ({"block_device": "/dev/sda\n"}, "`block_device`: String should match pattern"),
        ({"hold_seconds": 59}, "`hold_seconds`: Input should be greater than or equal to 60"),
        ({"hold_seconds": 1e12}, "`hold_seconds`: Input should be less than or equal to 3155760000"),
        ({"hold_seconds": float("inf")}, "`hold_seconds`: Input should be a finite number"),
        ({"spares": ["b-1", "a-2"]}, "`spares`: a-2 chosen already"),
        ({"min_ok": 4}, "`min_ok`: 4 are wanted, but there are only 3 nodes"),
        ({"min_ok": "101%"}, "`min_ok`: '101%' is neither a number of nodes nor a percentage like 95%"),
        ({"min_ok": True}, "`min_ok`: 'True' is neither"),
        ({"min_ok": 1.5}, "`min_ok`: '1.5' is neither"),
        ({"stop_at_min_ok": True}, "`stop_at_min_ok`: needs `min_ok`"),
        ({"deadline": "soon"}, "`deadline`: 'soon' is no timeout"),
        ({"deadline": "1/(3-n)"}, "`deadline`: float division by zero"),
        ({"kexec": 1}, "`kexec`: Input should be a valid boolean"),
        ({"automaton": {"BootNewEnv": []}}, "`automaton.BootNewEnv`: Tuple should have at least 1 item"),
        ({"custom_steps": {"BroadcastEnv": {"snyc": {}}}}, "no micro-step of BroadcastEnv"),
        ({"vlan": 5}, "`vlan`: is not known here"),
        ({"user": "root"}, "`user`: is not known here"),
        ({"environment_owner": "root"}, "`environment_owner`: is not known here"),
    ],
)
def test_what_no_deployment_is(changes: dict[str, Any], says: str) -> None:
    [problem] = told(DeploymentRequest, {**DEPLOYMENT, **changes})
    assert says in problem


def test_all_problems_at_once() -> None:
    document = {
        "nodes": ["a"],
        "spares": ["a"],
        "min_ok": 2,
        "stop_at_min_ok": True,
        "deadline": "-1",
        "x": 1,
    }
    assert [problem.partition(":")[0] for problem in told(DeploymentRequest, document)] == [
        "`environment`",
        "`spares`",
        "`min_ok`",
        "`deadline`",
        "`x`",
    ]


@pytest.mark.parametrize(
    ("settings", "says", "hint"),
    [
        ({"keys": "ssh-ed25519 A"}, ["`keys`: not with `kind` simple"], "add `kind` deploy_env"),
        (
            {"check_destructive": True},
            ["`check_destructive`: not with `kind` simple"],
            "add `kind` recorded_env",
        ),
        (
            {"profile": "x", "partition": 3},
            ["`profile`: not with `kind` simple", "`partition`: not with `kind` simple"],
            "add `kind` set_pxe; add `kind` recorded_env",
        ),
        ({"kind": "recorded_env"}, ["`environment`: `kind` recorded_env needs it"], ""),
        (
            {"kind": "recorded_env", "environment": {"name": "debian"}, "block_device": "/dev/sdb"},
            ["`block_device`: needs `partition`"],
            "add `partition`, that on /dev/sdb",
        ),
        ({"kind": "set_pxe"}, ["`profile`: `kind` set_pxe needs it"], ""),
        ({"kind": "set_pxe", "profile": " "}, ["`profile`: is empty, or no text"], ""),
        (
            {"kind": "set_pxe", "profile": "é" * MAX_PROFILE},
            ["`profile`: 131072 bytes are more than 65536"],
            "",
        ),
        (
            {"kind": "set_pxe", "profile": "NODE_SINGULARITY", "singularities": {"a-1": "x"}},
            ["`singularities`: the boot profile has NODE_SINGULARITY, for which a-2 has no value"],
            "give a value for each node",
        ),
        (
            {"kind": "set_pxe", "profile": "x", "singularities": {"a-1": "x" * 16 * 1024 * 1024}},
            ["`singularities`: 16777219 bytes are more than 16777216"],
            "",
        ),
        ({"timeout": "1/(2-n)"}, ["`timeout`: float division by zero"], ""),
        (
            {"kind": "halt"},
            ["`kind`: Input should be 'simple', 'set_pxe', 'deploy_env' or 'recorded_env'"],
            "",
        ),
    ],
)
def test_what_no_reboot_is(settings: dict[str, Any], says: list[str], hint: str) -> None:
    document = {**REBOOT, **settings}
    assert told(RebootRequest, document) == says
    with pytest.raises(RequestError) as refused:
        RebootRequest.from_json(document, "alice")
    assert refused.value.hint == hint


def test_fields_of_other_kinds_whatever_their_values() -> None:
    check_fields(RebootKind.DEPLOY_ENV, ["keys"])
    with pytest.raises(RequestError, match="`profile`: not with `kind` deploy_env"):
        check_fields(RebootKind.DEPLOY_ENV, ["keys", "profile"])


def test_what_no_power_operation_is() -> None:
    assert told(PowerRequest, {**REBOOT, "kind": "status", "level": "hard"}) == [
        "`level`: not with `kind` status"
    ]
    assert PowerRequest.from_json({**REBOOT, "kind": "off", "level": "hard"}, "alice").level == "hard"


@pytest.mark.parametrize(
    "request_of",
    [
        DeploymentRequest(
            user="alice",
            nodes=("a-1", "a-2"),
            force=True,
            hold_seconds=60,
            environment=EnvironmentName("debian", "root", 3),
            keys="ssh-ed25519 AAAA é\n",
            block_device="/dev/sdb",
            partition=3,
            automaton=parse_force_steps(
                "SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&BroadcastEnv|BroadcastEnvChain:1:9"
                "&BootNewEnv|BootNewEnvClassical:1:400"
            ),
            breakpoints=("BootNewEnv",),
            spares=("b-1",),
            min_ok=1,
            stop_at_min_ok=True,
            kexec=False,
            custom_steps=CustomSteps.model_validate(
                {"BroadcastEnv": {"sync": {"pre-ops": [{"name": "x", "action": "exec", "command": "true"}]}}}
            ),
        ),
        RebootRequest(
            user="alice",
            nodes=("a-1",),
            kind=RebootKind.RECORDED_ENV,
            environment=EnvironmentName("debian"),
            partition=3,
            block_device="/dev/sda",
        ),
        RebootRequest(
            user="alice",
            nodes=("a-1",),
            kind=RebootKind.SET_PXE,
            profile="NODE_SINGULARITY",
            singularities={"a-1": "x"},
        ),
        PowerRequest(user="alice", nodes=("a-1",), kind=PowerKind.OFF),
    ],
    ids=lambda made: type(made).__name__,
)
def test_to_json_and_from_it(request_of: Request) -> None:
    document = json.loads(json.dumps(request_of.to_json()))
    again = type(request_of).from_json(document, "alice")
    assert again == request_of
    assert again.to_json() == document
    assert set(document) == set(type(request_of).model_fields) - {"user"}


def test_an_environment_that_is_described() -> None:
    request = DeploymentRequest.from_json({**DEPLOYMENT, "environment": DESCRIPTION}, "alice")
    environment = request.environment
    assert isinstance(environment, Environment)
    assert (environment.owner, environment.image.kind) == ("alice", "tar")
    mine = request.changed({"environment": replace(environment, owner="root")})
    document = mine.to_json()
    assert document["environment_owner"] == "root"
    assert DeploymentRequest.from_record(document, "alice") == mine
    assert description.to_mapping(environment) == document["environment"]


def test_a_percentage_is_of_the_nodes() -> None:
    assert DeploymentRequest.from_json({**DEPLOYMENT, "min_ok": "50%"}, "alice").min_ok == 2


def test_a_changed_request_is_checked_as_well() -> None:
    request = DeploymentRequest.from_json({**DEPLOYMENT, "min_ok": 3}, "alice")
    with pytest.raises(RequestError, match="`min_ok`: 3 are wanted, but there is only 1 node"):
        request.changed({"nodes": ("a-1",)})
    with pytest.raises(ValidationError, match="frozen"):
        request.min_ok = 2


@pytest.mark.parametrize(
    ("value", "enough"), [("0", 0), ("2", 2), (2, 2), ("50%", 2), ("67%", 3), ("100%", 3)]
)
def test_enough_nodes(value: str | int, enough: int) -> None:
    assert parse_min_ok(value, 3) == enough


@pytest.mark.parametrize("value", ["", "4", "-1", -1, "101%", "1.5", "half", "٣", None, True])
def test_what_is_no_number_of_nodes(value: object) -> None:
    with pytest.raises(ValueError):
        parse_min_ok(value, 3)


def test_requests_have_a_json_schema() -> None:
    schema = DeploymentRequest.model_json_schema()
    assert schema["properties"]["partition"]["anyOf"][0] == {"maximum": 128, "minimum": 1, "type": "integer"}
    assert {"EnvironmentName", "DescriptionModel"} <= set(schema["$defs"])
    assert RebootRequest.model_json_schema()["properties"]["level"]["enum"] == ["soft", "hard", "very_hard"]
