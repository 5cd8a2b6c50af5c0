# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the shell programs of bin/ say: progress on stderr, one sentence per error.

say() { printf '%s\n' "${0##*/}: $*" >&2; }

die() {
	say "error: $*"
	exit 1
}

# A usage error has its own exit status, 2, like in every command of the project.
die_usage() {
	say "error: $* (see --help)"
	exit 2
}

# run_quietly COMMAND...: its output is shown only if it fails.
run_quietly() {
	local log status=0
	log=$(mktemp)
	"$@" >"$log" 2>&1 || status=$?
	((status == 0)) || cat "$log" >&2
	rm -f "$log"
	return $status
}

# need_value OPTION [VALUE...]: called with the rest of the command line where an option takes a value.
need_value() {
	(($# >= 2)) || die_usage "$1 needs a value"
}

# seconds_since START: seconds since START, a value of $EPOCHREALTIME, with one decimal.
seconds_since() {
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}
