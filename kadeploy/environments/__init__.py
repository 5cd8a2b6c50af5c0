# SPDX-License-Identifier: Apache-2.0
"""Environments: their descriptions, where they are recorded, and the images they are made of."""
