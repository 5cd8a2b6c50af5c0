# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# How bin/test and bin/check run pytest, and how they learn what the selected tests need. Source messages.sh and
# setup.sh first. The current directory is the checkout.

run_pytest() { .venv/bin/python -m pytest "$@"; }

# Fast tests wait more than they compute, so they want more processes than there are processors.
# shellcheck disable=SC2034 # read by bin/test and bin/check
fast_processes=4

few_tests=16 # for which several processes are not worth their start

declare -A count_of=()

# look_at_needs ARGUMENT...: collects the tests that these arguments of pytest select (tests/needs.py). Sets
# needed_packages (keys of packages_for), needed_images, and count_of, the number of tests by part.
# shellcheck disable=SC2034 # read by bin/test and bin/check
look_at_needs() {
	local file log kind name count status=0
	file=$(mktemp) log=$(mktemp)
	# One word: pytest looks for its root at the files that are named before it knows the options of the tests.
	run_pytest --collect-only -q --needs="$file" "$@" >"$log" 2>&1 || status=$?
	if ((status != 0 && status != 5)); then # 5: no test is selected
		cat "$log" >&2
		rm -f "$file" "$log"
		exit "$status"
	fi
	needed_packages=() needed_images=()
	while read -r kind name count; do
		case $kind in
		part) count_of[$name]=$count ;;
		package) needed_packages+=("$name") ;;
		image) needed_images+=("$name") ;;
		esac
	done <"$file"
	rm -f "$file" "$log"
}

# run_part NAME PROCESSES ARGUMENT...: the selected tests of a part, if there are any.
run_part() {
	local part=$1 processes=$2 several=()
	((count_of[$part] == 0)) && return
	((processes == 1 || count_of[$part] < few_tests)) || several=(-n "$processes" --dist loadfile --no-loadscope-reorder)
	run_pytest --part="$part" "${several[@]}" "${@:3}"
}

# build_images NAME...: what is not up to date of these.
build_images() {
	local name
	for name; do
		case $name in
		deploy-env) bin/build-deploy-env ;;
		*) bin/build-environment "$name" ;;
		esac
	done
}

# hash_sources: one digest of the commit and of what differs from it.
hash_sources() {
	{
		git rev-parse HEAD
		git diff HEAD
		git ls-files --others --exclude-standard -z | sort -z | xargs -0r sha256sum
	} | sha256sum | cut -c 1-16
}
