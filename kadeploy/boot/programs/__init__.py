# SPDX-License-Identifier: Apache-2.0
"""Boot programs that a DHCP server can hand out to machines: one file per member of the family."""
