# SPDX-License-Identifier: Apache-2.0
"""Methods of broadcast: one file per member of the family."""
