#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sshd of a miniOS with the fault mute-sshd: it accepts connections, and never answers."""

import socket

PORT = 22
MAX_CONNECTIONS = 512  # then the oldest is closed

with socket.create_server(("", PORT), backlog=128) as listener:
    connections = []
    while True:
        connections.append(listener.accept()[0])
        if len(connections) > MAX_CONNECTIONS:
            connections.pop(0).close()
