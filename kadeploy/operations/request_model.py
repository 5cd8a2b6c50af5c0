# SPDX-License-Identifier: Apache-2.0
"""Base of the models of requests: frozen, and refused with everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from kadeploy.errors import RequestError, RequestProblem

# Where pydantic's own sentence tells of Python: ours, with the bounds of its context.
_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "too_short": "must have {min_length} at least",
    "too_long": "must have {max_length} at most",
    "string_too_short": "must not be empty",
    "string_too_long": "must have {max_length} characters at most",
}


class RequestModel(BaseModel):
    """Base of requests: any way to make one raises RequestError with all that is wrong.

    Rules of several fields are validators of the last of them: they see those before it that are right.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _refuse(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            hints = [detail["ctx"]["hint"] for detail in details if "hint" in detail.get("ctx", {})]
            raise RequestError([*_problems(details)], hint="; ".join(dict.fromkeys(hints))) from None

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The same with other values of some fields; raises RequestError for what does not fit."""
        own = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**own, **changes})


def problem(message: str, hint: str = "") -> PydanticCustomError:
    """Error that a validator raises for its field."""
    # The message is a value of the template, not the template itself: braces of users mean nothing.
    context = {"message": message} | ({"hint": hint} if hint else {})
    return PydanticCustomError("rule", "{message}", context)


def _problems(details: list[ErrorDetails]) -> Iterator[RequestProblem]:
    for detail in details:
        field = ".".join(str(part) for part in detail["loc"])
        yield RequestProblem(field, _message(detail).removeprefix("Value error, "))


def _message(detail: ErrorDetails) -> str:
    try:
        return _MESSAGES[detail["type"]].format_map(detail.get("ctx", {}))
    except KeyError:  # of ours, or of a model of a file, whose details have no bounds
        return detail["msg"]
