# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# DISK COMMAND...: runs a command that writes the whole disk, then makes the kernel know what is on it now.

use_disk "$1"
shift
stop_using_disk </dev/null
wipe_disk </dev/null
"$@" || {
    status=$?
    echo "$1 exited with status $status" >&2
    exit "$status"
}
stop_using_disk </dev/null
forget_all_partitions
complete_gpt </dev/null
update_partitions </dev/null
