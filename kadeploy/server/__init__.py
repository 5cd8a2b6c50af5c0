# SPDX-License-Identifier: Apache-2.0
"""kadeployd: the service for the users of this machine."""
