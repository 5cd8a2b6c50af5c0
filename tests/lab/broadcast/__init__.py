# SPDX-License-Identifier: Apache-2.0
"""Broadcasts between network namespaces, where everything goes wrong that can, by lot."""
