#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Takes an image from standard input and exits with 0 if its digest is right: SHA-256, command ...
#
# Run behind the definition of `consume`, which starts the pipeline of the commands from its arguments.

expected=$1
shift
folder=$(mktemp -d "${TMPDIR:-/tmp}/kadeploy-take.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' HUP INT TERM
mkfifo "$folder/digest" || exit 1
sha256sum >"$folder/sha256" <"$folder/digest" &

take() {
    consume "$@" && cat >/dev/null
}
tee "$folder/digest" | take "$@"
wait

for file in "$folder"/status-*; do
    read -r status <"$file"
    case $status in
        0 | 141) ;; # of SIGPIPE: the one after it had ended first
        *) exit "$status" ;;
    esac
done
read -r digest _ <"$folder/sha256"
if [ "$digest" != "$expected" ]; then
    echo "received other data: SHA-256 $digest, expected $expected" >&2
    exit 1
fi
