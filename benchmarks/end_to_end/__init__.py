# SPDX-License-Identifier: Apache-2.0
"""Whole deployments on 1 to 200 container nodes: what their time goes into, and what kadeploy adds."""
