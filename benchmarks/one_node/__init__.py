# SPDX-License-Identifier: Apache-2.0
"""One node deployed by kadeploy and by hand, in the same lab, with the same files."""
