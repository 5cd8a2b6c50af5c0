# SPDX-License-Identifier: Apache-2.0
"""Environments: descriptions, registry, and the files of images and archives."""
