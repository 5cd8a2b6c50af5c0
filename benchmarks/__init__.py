# SPDX-License-Identifier: Apache-2.0
"""Measurements of what kadeploy costs and how fast it is: a package each, started by benchmarks/run."""
