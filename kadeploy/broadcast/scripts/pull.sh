#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Takes an image over HTTP on a node that has no Python: folder, URL, size, seconds without data, command ...
#
# Run behind the definition of `consume`, which starts the pipeline of the commands from its arguments. The
# bytes go to the pipeline, to sha256sum and to wc, whose count is the offset after a broken connection. Lines
# for the head begin with 'pull:'; a login shell may print others.

folder=$1 url=$2 size=$3 patience=$4
shift 4
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

report() {
    printf 'pull: %s\n' "$*"
}

# Each `get` writes the image from the offset in its argument on to standard output. (Debian's static busybox
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
    report 'failed there is neither curl nor wget nor busybox'
    exit 1
fi
report "tool $tool"

# Writes the image to standard output, from as many connections as necessary. Named pipes are opened by separate
# programs, since an older shell takes the end of a child for a failure to open a file.
download() {
    offset=0 misses=0
    while [ "$offset" -lt "$size" ] && [ "$misses" -lt 5 ]; do
        wc -c >"$folder/counted" <"$folder/count" &
        get "$offset" 2>"$folder/trouble" | tee "$folder/count"
        wait $!
        read -r count <"$folder/counted"
        offset=$((offset + count))
        echo "$offset" >"$folder/offset"
        [ ! -e "$folder/over" ] || break
        misses=$((misses + 1))
        [ "$count" -eq 0 ] || misses=0
        [ "$offset" -ge "$size" ] || sleep 1
    done
}

# A consumer that ends early with success leaves the rest to cat; one that fails ends the download.
take() {
    exec >/dev/null # at once, as the reader of the pipe waits for its end
    exec >"$folder/said" 2>&1
    consume "$@" && cat >/dev/null
    : >"$folder/over"
}

mkfifo "$folder/digest" "$folder/count" "$folder/said" || exit 1
echo 0 >"$folder/offset"
# Only this shell holds standard output open, so that its end shows that this shell was killed.
{ tail -c 4096 >"$folder/evidence" && : >"$folder/heard"; } <"$folder/said" >/dev/null &
sha256sum >"$folder/sha256" <"$folder/digest" &
sum=$!
download | tee "$folder/digest" | take "$@"
wait "$sum"

# A process that the consumer left in the background may hold its output open. Some sleeps take whole seconds only.
looks=0
while [ ! -e "$folder/heard" ] && [ "$looks" -lt 10 ]; do
    looks=$((looks + 1))
    sleep 0.1 2>/dev/null || { sleep 1 && looks=10; }
done
read -r offset <"$folder/offset"
[ "$offset" -ge "$size" ] || cat "$folder/trouble" >>"$folder/evidence"
while read -r line || [ -n "$line" ]; do
    report "said $line"
done <"$folder/evidence"
read -r digest _ <"$folder/sha256"
# shellcheck disable=SC2046 # numbers, one from each file
report "ended $offset $digest" $(cat "$folder"/status-*)
