# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the builders of bin/ share: a working directory that never outlives them, and the cache by content.

# hash_files PATH...: one SHA-256 over names, modes and contents of everything below the paths (given relative to
# the checkout), so that the same recipe has the same hash in every checkout.
hash_files() {
	find "$@" -type f -printf '%p %m\0' -o -type l -printf '%p -> %l\0' | sort -z | sha256sum
	find "$@" -type f -print0 | sort -z | xargs -0 sha256sum
}

# hash_recipe TEXT PATH...: the hash of a recipe: its files and the options that change its result.
hash_recipe() {
	{
		printf '%s\n' "$1"
		hash_files "${@:2}"
	} | sha256sum | cut -d' ' -f1
}

# is_up_to_date MANIFEST HASH: true if the manifest, which is always written last, carries this recipe hash.
is_up_to_date() {
	[[ -f $1 ]] && grep -qxF "recipe=$2" "$1"
}

# make_work_directory NEAR: sets $work to a new directory in the file system of NEAR, removed at exit however the
# program ends. bash runs the EXIT trap after INT and TERM only when these end it by `exit`.
make_work_directory() {
	mkdir -p "$1"
	work=$(mktemp -d "$1/.build.XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# read_list FILE: the words of a list file, without comments.
read_list() {
	sed 's/#.*//' "$1" | xargs -n1
}

# join_commas WORD...
join_commas() {
	local IFS=,
	printf '%s' "$*"
}

# run_mmdebstrap ARGUMENT...: runs it, its output kept in $work/mmdebstrap.log and shown if it fails. It is started in a
# mount namespace of its own so that whatever happens to it no mount stays behind.
run_mmdebstrap() {
	# shellcheck disable=SC2154 # $work is set by make_work_directory
	if ! unshare --mount --propagation private mmdebstrap --mode=root --variant=minbase \
		--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr "$@" >"$work/mmdebstrap.log" 2>&1; then
		tail -n 25 "$work/mmdebstrap.log" >&2
		die "mmdebstrap failed; its last lines are above"
	fi
}

require_root() {
	[[ $(id -u) -eq 0 ]] || die "building a system image needs root: owners and device files are part of it"
}
