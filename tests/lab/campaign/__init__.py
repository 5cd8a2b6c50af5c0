# SPDX-License-Identifier: Apache-2.0
"""Deployments whose commands, store and boot server are disturbed at moments drawn by lot."""
