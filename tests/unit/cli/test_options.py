# SPDX-License-Identifier: Apache-2.0
"""What click reads is what the typed options of each command say that it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
import pytest
from pydantic import TypeAdapter

from kadeploy.cli import kacast, kadeploy, kaenv, kalab, kanodes, kapower, kareboot, karights, kastat, reboot
from kadeploy.cli.cast_options import CastOptions
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.environment_options import EnvironmentOptions
from kadeploy.cli.lab_options import UpOptions
from kadeploy.cli.node_options import ListingOptions
from kadeploy.cli.power_options import PowerOptions
from kadeploy.cli.reboot_options import RebootOptions
from kadeploy.cli.report_options import ReportOptions
from kadeploy.cli.rights_options import RightsOptions
from kadeploy.config.remote_operations import Level
from kadeploy.lab import plan

COMMANDS: dict[type[Any], click.Command] = {
    DeployOptions: kadeploy.command,
    RebootOptions: kareboot.command,
    PowerOptions: kapower.command,
    CastOptions: kacast.command,
    ReportOptions: kastat.command,
    ListingOptions: kanodes.command,
    EnvironmentOptions: kaenv.command,
    RightsOptions: karights.command,
    UpOptions: kalab.up,
}
ABSENT: dict[type[Any], set[str]] = {PowerOptions: {"output_known_hosts"}}  # nothing is proved by a host key
NEEDED = {CastOptions: ("file",)}  # arguments without which a command cannot be parsed
VALUES = {
    "date": "2026-01-31 00:00:00",
    "numbers": "1,3",
    "limit": "5,7",
    "end": "12h",
}  # of types of our own
each_command = pytest.mark.parametrize("options", COMMANDS)


def types(options: type[Any]) -> dict[str, Any]:
    """The type of each field."""
    return get_type_hints(options, localns={"Level": Level, **vars(plan)})


def parameters(options: type[Any]) -> dict[str, click.Parameter]:
    """What the command hands on."""
    command = COMMANDS[options]
    return {parameter.name: parameter for parameter in command.params if parameter.expose_value}


@each_command
def test_each_parameter_is_a_field_and_each_field_a_parameter(options: type[Any]) -> None:
    assert set(parameters(options)) == {field.name for field in fields(options)} - ABSENT.get(options, set())


@each_command
def test_values_have_the_types_of_their_fields(options: type[Any]) -> None:
    adapters = {name: TypeAdapter[Any](kind) for name, kind in types(options).items()}
    assert Any not in types(options).values()
    nothing, all_one_by_one = ((),), (tuple(_words(each)) for each in parameters(options).values())
    for words in (*nothing, *all_one_by_one):
        context = COMMANDS[options].make_context("it", [*words, *NEEDED.get(options, ())])
        for name, value in context.params.items():
            adapters[name].validate_python(value, strict=True)
        options(**context.params)


def _words(parameter: click.Parameter) -> Iterator[str]:
    """The parameter in a command line, with a value that it takes."""
    if not isinstance(parameter, click.Option):
        return
    name = max(parameter.opts, key=len)
    if parameter.is_flag:
        yield name
    else:
        yield f"{name}={_value(parameter.type)}"


def _value(kind: click.ParamType[Any]) -> str:
    match kind:
        case click.Choice():
            return str(kind.choices[0])
        case click.IntRange() | click.FloatRange():
            return str(kind.max if kind.min is None else kind.min or kind.max or 1)
        case _:
            return "7" if kind is click.INT else VALUES.get(kind.name, "x")


@each_command
def test_a_literal_has_all_choices(options: type[Any]) -> None:
    for name, parameter in parameters(options).items():
        for kind in (types(options)[name], *get_args(types(options)[name])):
            if get_origin(kind) is Literal:
                assert isinstance(parameter.type, click.Choice)
                assert tuple(parameter.type.choices) == get_args(kind)


def test_lists_of_options_name_parameters() -> None:
    assert {*kadeploy.KEPT, *kadeploy.NOT_SIMULATED} <= set(parameters(DeployOptions))
    assert set(reboot.FIELDS) <= set(parameters(RebootOptions))
