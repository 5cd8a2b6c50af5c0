# SPDX-License-Identifier: Apache-2.0
"""The parts of boot_storm: many machines that fetch their boot files at the same moment."""
