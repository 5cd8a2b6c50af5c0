# SPDX-License-Identifier: Apache-2.0
"""Work inside an image's tree, on the nodes: what goes there is of the standard library only."""
