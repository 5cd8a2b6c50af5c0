# SPDX-License-Identifier: Apache-2.0
"""Names of what a stream of server-sent events has besides the kinds of events."""

RESTED = "rested"  # nobody works on the workflow any more
ERROR = "error"  # its data is the document of the error by which the stream ends
