# SPDX-License-Identifier: Apache-2.0
"""Vocabulary: macro-steps, instances, micro-steps and what belongs to each, declared once."""
