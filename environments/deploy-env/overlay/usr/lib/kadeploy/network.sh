# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Brings up one interface, by DHCP or as ip= on the kernel command line says, and announces its address when sshd
# accepts connections. Sourced by /init, whose `say` and `in_container` it uses. It gives up never: what it saw is told
# after each round.

# read_command_line: sets $ip_argument and $boot_address (the interface PXE booted from) from the kernel command line.
read_command_line() {
	ip_argument=dhcp boot_address=
	read -r command_line </proc/cmdline
	for argument in $command_line; do
		case $argument in
		ip=*) ip_argument=${argument#ip=} ;;
		BOOTIF=01-*) boot_address=$(echo "${argument#BOOTIF=01-}" | tr A-F- a-f:) ;;
		esac
	done
}

# is_card INTERFACE: whether it has hardware behind it, or is the one that a container was given for a card.
is_card() {
	[ -e "/sys/class/net/$1/device" ] && return
	in_container && [ "$1" != lo ]
}

# list_interfaces: prints the interfaces with hardware behind them, the one the firmware booted from first.
list_interfaces() {
	others=
	for directory in /sys/class/net/*; do
		is_card "${directory##*/}" || continue
		read -r address <"$directory/address"
		if [ "$address" = "$boot_address" ]; then
			echo "${directory##*/}"
		else
			others="$others ${directory##*/}"
		fi
	done
	[ -z "$others" ] || echo "$others"
}

has_link() {
	read -r carrier <"/sys/class/net/$1/carrier" && [ "$carrier" = 1 ]
} 2>/dev/null

# wait_for_link INTERFACE...: until one has a carrier, at most ten seconds (1 Gbit/s negotiation takes about three).
wait_for_link() {
	tries=0
	while [ $tries -lt 100 ]; do
		for name; do
			has_link "$name" && return
		done
		usleep 100000
		tries=$((tries + 1))
	done
}

# ask_dhcp INTERFACE: five requests at one-second intervals, the shortest udhcpc knows. It stays in the background to
# renew the lease.
ask_dhcp() {
	udhcpc -i "$1" -n -T 1 -t 5 -s /usr/lib/kadeploy/dhcp-event >"/run/network/$1.log" 2>&1
}

# configure_static: the fields of the kernel's own ip= (Documentation/admin-guide/nfs/nfsroot.rst):
# client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1
configure_static() {
	interface=${6:-$interface} ip=$1 mask=${4:-24} router=$3 hostname=$5 dns="$8 $9"
	export interface ip mask router hostname dns
	/usr/lib/kadeploy/dhcp-event bound
}

# evidence INTERFACE: what is known about an interface that got no address.
evidence() {
	read -r address <"/sys/class/net/$1/address"
	read -r sent <"/sys/class/net/$1/statistics/tx_packets"
	read -r received <"/sys/class/net/$1/statistics/rx_packets"
	has_link "$1" && link=up || link=down
	echo "$1 ($address): link $link, $sent packets sent, $received received"
}

# try_dhcp INTERFACE...: true as soon as one with a link got an address.
try_dhcp() {
	for interface; do
		has_link "$interface" && ask_dhcp "$interface" && return
	done
	say "kadeploy miniOS: no DHCP answer; trying again for ever"
	for interface; do
		say "kadeploy miniOS: $(evidence "$interface")"
	done
	return 1
}

# announce: waits until sshd listens on port 22 (0x16, state 0A in /proc/net/tcp), then says where.
announce() {
	read -r address <"/run/network/$interface"
	until grep -q ':0016 00000000:0000 0A' /proc/net/tcp; do
		usleep 50000
	done
	read -r uptime _ </proc/uptime
	say "kadeploy miniOS ready: $address"
	say "kadeploy miniOS: $interface, up for $uptime s"
}

# wait_for_interface: sets $interfaces. PID 1 may still be loading the driver.
wait_for_interface() {
	tries=0
	until interfaces=$(list_interfaces) && [ -n "$interfaces" ]; do
		usleep 100000
		tries=$((tries + 1))
		[ $((tries % 100)) -ne 0 ] || say "kadeploy miniOS: no network interface has a driver; waiting for one"
	done
}

bring_up_network() {
	read_command_line
	ip link set lo up
	wait_for_interface
	for interface in $interfaces; do
		ip link set "$interface" up
	done
	# shellcheck disable=SC2086 # names are words
	wait_for_link $interfaces
	interface=${interfaces%% *}
	# shellcheck disable=SC2086 # the fields of ip= are split at colons, here only
	case $ip_argument in
	*.*.*.*) IFS=: && set -f && configure_static $ip_argument && unset IFS && set +f ;;
	*) until try_dhcp $interfaces; do :; done ;;
	esac
	announce
}
