# SPDX-License-Identifier: Apache-2.0
"""Files or streams to many hosts by the user's own ssh: no site, no store, no lease."""
