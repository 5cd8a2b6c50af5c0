# SPDX-License-Identifier: Apache-2.0
"""Views: the documents of JSON that programs print, each made of a value of the rooms below."""
