# SPDX-License-Identifier: Apache-2.0
"""Carrying out an operation of any kind: leases, journal, engine, records of its end."""
