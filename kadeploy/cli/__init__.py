# SPDX-License-Identifier: Apache-2.0
"""Commands, one module each; presentation only."""
