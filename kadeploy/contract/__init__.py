# SPDX-License-Identifier: Apache-2.0
"""Contract between commands and the service, of which routes, clients and their documentation are made."""
