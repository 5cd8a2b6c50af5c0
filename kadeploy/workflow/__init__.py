# SPDX-License-Identifier: Apache-2.0
"""The engine: a pure state machine, and the asyncio driver round it. It knows no ssh and no disk."""
