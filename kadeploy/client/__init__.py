# SPDX-License-Identifier: Apache-2.0
"""The service for a command: in its own process, or over HTTP."""
