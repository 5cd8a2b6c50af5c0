# SPDX-License-Identifier: Apache-2.0
"""Switching machines: by IPMI, over ssh, by a site's own command; soft, hard, very hard."""
