# SPDX-License-Identifier: Apache-2.0
"""Engine of workflows: a pure state machine, and the asyncio driver round it. It knows no ssh and no disk."""
