#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kexec of a container node: `kexec -l KERNEL --command-line=TEXT [--initrd=FILE]` keeps the command line of the next
# kernel, `kexec -e` ends this system; whoever runs the node then starts the one that root= names.
set -eu
shared=/dev/kalab

# load ARGUMENT...: the files must be there and readable, as for a kernel that reads them.
load() {
	command_line='' kernel=''
	for argument; do
		case $argument in
		-l) ;;
		--command-line=* | --append=*) command_line=${argument#*=} ;;
		--initrd=*) cat "${argument#*=}" >/dev/null ;;
		-*) echo "kexec: $argument is not known on a container node" >&2 && exit 1 ;;
		*) kernel=$argument ;;
		esac
	done
	cat "$kernel" >/dev/null
	printf '%s\n' "$command_line" >$shared/kexec-loaded
}

case ${1:-} in
-e)
	mv $shared/kexec-loaded $shared/kexec-now
	exec reboot -f
	;;
*) load "$@" ;;
esac
