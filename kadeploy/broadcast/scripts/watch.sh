#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a script until standard input ends, then ends it with all that it has started: text, argument ...

text=$1
shift
folder=$(mktemp -d "${TMPDIR:-/tmp}/kadeploy-pull.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' HUP INT TERM
# All processes of a session of its own can be ended at once.
own_session=$(command -v setsid)
$own_session sh -c "$text" pull "$folder" "$@" </dev/null &
worker=$!
exec >/dev/null # so that the output ends when the worker is killed
read -r _
kill -9 "-$worker" 2>/dev/null || kill -9 "$worker" 2>/dev/null
wait
