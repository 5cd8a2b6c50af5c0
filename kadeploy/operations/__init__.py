# SPDX-License-Identifier: Apache-2.0
"""Operations over nodes, from a request to the truth about each node."""
