#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Takes an image over HTTP on a node that has no Python: folder, URL, size, seconds without data, command ...
#
# Run behind the definition of `consume`, which starts the pipeline of the commands from its arguments. The
# bytes go to the pipeline, to sha256sum and to wc, which knows where to go on when the connection broke. What
# is told begins with 'pull:'; the rest is what a login shell prints.

folder=$1 url=$2 size=$3 patience=$4
shift 4
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

say() {
    printf 'pull: %s\n' "$*"
}

# Every `get` writes the image to standard output from the byte on that is its argument. (Debian's static busybox
# crashes when its wget is given a time limit.)
if command -v curl >/dev/null; then
    tool=curl
    get() {
        curl -q -fsS --connect-timeout "$patience" --speed-limit 1 --speed-time "$patience" "$url/$1"
    }
elif wget --version >/dev/null 2>&1; then
    tool=wget
    get() {
        wget --no-config -nv -t 1 -T "$patience" -O - "$url/$1"
    }
elif command -v wget >/dev/null; then
    tool='wget of busybox'
    get() {
        wget -q -O - "$url/$1"
    }
elif busybox wget --help >/dev/null 2>&1; then
    tool='busybox wget'
    get() {
        busybox wget -q -O - "$url/$1"
    }
else
    say 'failed there is neither curl nor wget nor busybox'
    exit 1
fi
say "tool $tool"

mkfifo "$folder/data" "$folder/digest" "$folder/count" "$folder/said" || exit 1
tail -c 4096 <"$folder/said" >"$folder/evidence" &
listener=$!
sha256sum <"$folder/digest" >"$folder/sha256" &
sum=$!
# Who has enough before the end leaves the rest to cat; who has failed ends everything.
{
    consume "$@" && cat >/dev/null
    : >"$folder/over"
} <"$folder/data" >"$folder/said" 2>&1 &
consumer=$!
exec 3>"$folder/data" 4>"$folder/digest"

offset=0 misses=0
while [ "$offset" -lt "$size" ] && [ "$misses" -lt 5 ]; do
    wc -c <"$folder/count" >"$folder/counted" &
    counter=$!
    # The consumer's end is standard output: opened by its name, it would block where nobody reads any more.
    get "$offset" 2>"$folder/trouble" | tee "$folder/digest" "$folder/count" >&3
    wait "$counter"
    read -r count <"$folder/counted"
    offset=$((offset + count))
    [ ! -e "$folder/over" ] || break
    misses=$((misses + 1))
    [ "$count" -eq 0 ] || misses=0
    [ "$offset" -ge "$size" ] || sleep 1
done

exec 3>&- 4>&-
wait "$consumer"
wait "$sum"
# Something that the consumer has left behind may hold its output open.
kill -0 "$listener" 2>/dev/null && sleep 1
[ "$offset" -ge "$size" ] || cat "$folder/trouble" >>"$folder/evidence"
while read -r line || [ -n "$line" ]; do
    say "said $line"
done <"$folder/evidence"
read -r digest _ <"$folder/sha256"
# shellcheck disable=SC2046 # numbers, one from each file
say "ended $offset $digest" $(cat "$folder"/status-*)
