# SPDX-License-Identifier: Apache-2.0
"""Switching machines by ways of power, which are tried soft, hard, very hard."""
