# SPDX-License-Identifier: Apache-2.0
"""Answers of the server: documents, and errors as documents."""

from __future__ import annotations

import logging

from starlette.responses import Response

from kadeploy.contract.error_view import ErrorView
from kadeploy.errors import KadeployError
from kadeploy.service.views.view import View

log = logging.getLogger(__name__)

JSON = "application/json"


def document_answer(view: View | None) -> Response:
    """Answer that has a document, or nothing."""
    if view is None:
        return Response(status_code=204)
    return Response(view.to_json_text(), media_type=JSON)


def error_answer(view: ErrorView, status: int | None = None) -> Response:
    """Answer that has an error."""
    # The connection may have more of a body that nobody reads.
    headers = {"connection": "close"} if status in (408, 413) else None
    return Response(
        view.to_json_text(), status_code=status or view.http_status, media_type=JSON, headers=headers
    )


def answer_to(error: Exception) -> Response:
    """Answer for an error; one that is none of ours is logged with its traceback."""
    return error_answer(told(error))


def told(error: Exception) -> ErrorView:
    """Document of an error; one that is none of ours is logged with its traceback."""
    if not isinstance(error, KadeployError):
        log.error("unexpected error", exc_info=error)
    return ErrorView.of(error)
