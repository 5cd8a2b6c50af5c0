#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sshd of a miniOS with the fault minios-hang: it never gets as far as to listen.
while :; do
	sleep 3600
done
