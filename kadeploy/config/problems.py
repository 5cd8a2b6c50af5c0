# SPDX-License-Identifier: Apache-2.0
"""Problems of several values together, reported with those of each value alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar

from pydantic import ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from kadeploy.config.yaml_file import KEY, FileModel, Location

Validated = TypeVar("Validated")
Problem = tuple[Location, str]


def validate(data: Any, handler: Callable[[Any], Validated], found: Iterable[Problem]) -> Validated:
    """Validate ``data`` by ``handler``; raises ValidationError with its problems and the ``found`` ones."""
    details = [_detail("found", location, message) for location, message in found]
    try:
        value = handler(data)
    except ValidationError as error:
        details += _details(error)
    if details:
        raise ValidationError.from_exception_data("file", details)
    return value


def validate_parts(
    data: Any, handler: Callable[[Any], Validated], parts: Mapping[str, tuple[type[FileModel], Any]]
) -> tuple[Validated, dict[str, FileModel]]:
    """Value of ``data`` and models of its ``parts``, which are validated by models of their own.

    Raises ValidationError with the problems of all of them.
    """
    details: list[InitErrorDetails] = []
    models: dict[str, FileModel] = {}
    for name, (model, part) in parts.items():
        try:
            models[name] = model.model_validate(part)
        except ValidationError as error:
            details += _details(error, name)
    try:
        value = handler(data)
    except ValidationError as error:
        details += _details(error)
    if details:
        raise ValidationError.from_exception_data("file", details)
    return value, models


def _details(error: ValidationError, *above: str) -> list[InitErrorDetails]:
    return [_detail(inner["type"], (*above, *inner["loc"]), inner["msg"]) for inner in error.errors()]


def _detail(kind: str, location: Location, message: str) -> InitErrorDetails:
    # The message is a value of the template, not the template itself: braces of users mean nothing.
    text = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=text, loc=location, input=None)


class CheckedModel(FileModel):
    """Base of models that find problems in their data before it is validated.

    Unknown keys are reported together with the other problems.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def problems(cls, data: Mapping[Any, Any]) -> Iterator[Problem]:
        """Problems of a mapping whose values may be of any type."""
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in data:
            if key not in known:
                yield (str(key), KEY), f"not known here; there are {', '.join(known)}"

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return validate(data, handler, cls.problems(data) if isinstance(data, Mapping) else ())
