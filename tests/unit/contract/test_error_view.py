# SPDX-License-Identifier: Apache-2.0
"""Errors that travel: what a client raises is what the server has raised."""

from __future__ import annotations

import pytest

from kadeploy import errors
from kadeploy.contract.error_view import CLASSES, ErrorView
from kadeploy.errors import FileError, FileProblem, KadeployError, NodeError, RequestError, RequestProblem
from kadeploy.store.trouble import StoreAwayError

ERRORS: list[KadeployError] = [
    errors.UsageError("it cannot be", hint="do something else"),
    RequestError([RequestProblem("nodes", "is missing"), RequestProblem("a.b", "is wrong")], hint="look"),
    errors.RefusedError("bob may not"),
    errors.NotFoundError("there is no it", hint="`list` has them"),
    FileError([FileProblem("a.yaml", "bad", 3, 7), FileProblem("b.yaml", "worse")], hint="mend it"),
    FileError([FileProblem("a.yaml", str(number)) for number in range(300)]),
    errors.ServiceError("the store is away"),
    NodeError("it broke", evidence="last\nwords", hint="look at it"),
    errors.RemoteError("a command failed", evidence="ls: no"),
    errors.UnreachableError("no answer"),
    errors.BrokenConnectionError("cut off"),
    errors.PowerError("the BMC is silent"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_each_class_comes_back(error: KadeployError) -> None:
    view = ErrorView.model_validate_json(ErrorView.of(error).to_json_text())
    again = view.to_error()
    assert type(again) is type(error)
    assert (again.message, again.hint, again.status) == (error.message, error.hint, error.status)
    assert getattr(again, "problems", None) == getattr(error, "problems", None)
    assert getattr(again, "evidence", None) == getattr(error, "evidence", None)


def test_all_classes_are_tried() -> None:
    known = {kind for kind, _ in CLASSES.values()}
    assert {type(error) for error in ERRORS} == known
    declared = {value for value in vars(errors).values() if isinstance(value, type)}
    assert {kind for kind in declared if issubclass(kind, KadeployError)} - known == {KadeployError}


def test_a_class_of_another_room_comes_back_as_the_one_that_it_is_derived_of() -> None:
    view = ErrorView.of(StoreAwayError("the store is away"))
    assert (view.code, type(view.to_error())) == ("service", errors.ServiceError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (2, errors.UsageError),
        (3, errors.RefusedError),
        (1, NodeError),
        (4, errors.ServiceError),
        (77, errors.ServiceError),
    ],
)
def test_a_code_that_is_not_known_keeps_its_exit_status(status: int, kind: type[KadeployError]) -> None:
    assert type(ErrorView(code="later", message="new", status=status).to_error()) is kind


def test_an_error_that_is_not_ours_is_told_without_its_text() -> None:
    view = ErrorView.of(ValueError("sesame"))
    assert (view.code, view.message, view.http_status) == ("defect", "unexpected error: ValueError", 500)
