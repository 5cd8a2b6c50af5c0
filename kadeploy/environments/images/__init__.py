# SPDX-License-Identifier: Apache-2.0
"""Kinds of images, one module each: members of the family IMAGE_KINDS."""
