# SPDX-License-Identifier: Apache-2.0
"""The fields of a description: what values become, and the bounds of what they may be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kadeploy.environments.model import DescriptionModel

IMAGE = {"file": "/i", "kind": "dd", "compression": "gzip"}
MINIMAL = {"name": "x", "os": "linux", "image": IMAGE}


def found(fields: dict[str, Any], name: str) -> Any:
    value: Any = DescriptionModel.model_validate({**MINIMAL, **fields})
    for part in name.split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    return value


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"partition_type": "83"}, "partition_type", 0x83),
        ({"partition_type": "0x83"}, "partition_type", 0x83),
        ({"partition_type": 131}, "partition_type", 0x83),
        ({"partition_type": 0xFFFF}, "partition_type", 0xFFFF),
        ({}, "partition_type", 0),
        ({"version": 0}, "version", 0),
        ({"version": 2**63 - 1}, "version", 2**63 - 1),
        ({"name": "a b.c_d"}, "name", "a b.c_d"),
        ({"image": {**IMAGE, "sha256": "AB" * 32}}, "image.sha256", "ab" * 32),
        ({"boot": {"kernel": "/a/..b"}}, "boot.kernel", "/a/..b"),
        ({"boot": {"partition": 128}}, "boot.partition", 128),
        (
            {"boot": {"block_device": "/dev/disk/by-id/x_1.2:3"}},
            "boot.block_device",
            "/dev/disk/by-id/x_1.2:3",
        ),
        ({"postinstalls": [{"archive": "/a", "compression": "xz"}]}, "postinstalls.0.script", "none"),
        ({"custom_variables": {"A_1": "5"}}, "custom_variables", {"A_1": "5"}),
        ({"description": "two\nlines"}, "description", "two\nlines"),
        ({"unknown": 1}, "name", "x"),
    ],
)
def test_values(fields: dict[str, Any], name: str, value: Any) -> None:
    assert found(fields, name) == value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"partition_type": 0x10000}, "less than or equal to 65535"),
        ({"partition_type": -1}, "greater than or equal to 0"),
        ({"partition_type": ""}, "hexadecimal digits"),
        ({"version": 2**63}, "less than"),
        ({"name": " x"}, "nor begin or end with blanks"),
        ({"name": "a|b*c"}, r"\* \| not allowed in a name"),
        ({"image": {**IMAGE, "file": ""}}, "at least 1 character"),
        ({"image": {**IMAGE, "kind": "fsa"}}, "FSArchiver are not supported"),
        ({"boot": {"kernel": "k"}}, "must be an absolute path"),
        ({"boot": {"kernel": "/a/../k"}}, "must be an absolute path"),
        ({"boot": {"kernel": "/k\x7f"}}, "control characters"),
        ({"boot": {"kernel_params": "a\nb"}}, "newlines"),
        ({"boot": {"partition": 129}}, "less than or equal to 128"),
        ({"boot": {"block_device": "/dev/a;b"}}, "pattern"),
        ({"postinstalls": [{"archive": "/a", "compression": "xz", "script": ""}]}, "at least 1 character"),
        ({"postinstalls": [{"archive": "/a", "compression": "xz"}] * 65}, "at most 64"),
        ({"filesystem": "Ext4"}, "pattern"),
        ({"arch": "x86-64"}, "pattern"),
        ({"custom_variables": {"1A": "x"}}, "pattern"),
        ({"custom_variables": {"A": "x\ny"}}, "newlines"),
        ({"user": ""}, "at least 1"),
    ],
)
def test_bounds(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        found(fields, "name")
