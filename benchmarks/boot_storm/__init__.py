# SPDX-License-Identifier: Apache-2.0
"""Machines that fetch their boot files at the same moment: kadeploy-boot, nginx, atftpd and tftpd-hpa."""
