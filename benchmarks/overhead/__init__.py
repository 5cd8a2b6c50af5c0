# SPDX-License-Identifier: Apache-2.0
"""One node deployed by kadeploy and by a script of plain tools: the time that kadeploy adds."""
