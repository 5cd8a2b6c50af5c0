# SPDX-License-Identifier: Apache-2.0
"""Use cases of a site for one caller, and the documents that tell of their results."""
