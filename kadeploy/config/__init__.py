# SPDX-License-Identifier: Apache-2.0
"""Models of every file an administrator writes; all errors of a file at once, as file:line:column."""
