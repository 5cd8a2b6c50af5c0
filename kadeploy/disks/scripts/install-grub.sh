# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Makes the disk boot the environment through grub.

set -eu

fail() {
    echo "$1" >&2
    exit 1
}

image=${KADEPLOY_ENV_EXTRACTION_DIR:?}
disk=${KADEPLOY_BLOCK_DEVICE:?}
partition=${KADEPLOY_DEPLOY_PART:?}
number=${KADEPLOY_DEPLOY_PART_NUM:?}
parameters=$(printf '%s' "${KADEPLOY_ENV_KERNEL_PARAMS:-}" | tr '\n\r\t' '   ')

[ -z "${KADEPLOY_ENV_HYPERVISOR:-}" ] || fail "a hypervisor cannot be booted by this installation of grub"

# Prints $1 as a word of grub's language, the same whatever is in it. $2: characters that stay outside of
# the quotes, as separators. $1 must not hold a double quote, which serves as a mark on the way.
quoted() {
    printf '%s' "$1" | sed -e "s/[^'$2]\{1,\}/\"&\"/g" -e "s/'/\\\\'/g" -e "s/\"/'/g"
}

# Prints kernel parameters as words of grub's language. The kernel takes spaces between double quotes as
# part of a parameter, and grub puts such quotes round words with spaces when it calls the kernel. (It also
# puts a backslash before single quotes and backslashes, which no way of writing them prevents.)
quoted_parameters() {
    rest=$1
    separators=' '
    while [ -n "$rest" ]; do
        quoted "${rest%%\"*}" "$separators"
        case $rest in
            *\"*) rest=${rest#*\"} ;;
            *) rest= ;;
        esac
        [ -n "$separators" ] && separators='' || separators=' '
    done
}

# Without an initrd there is only the kernel to find the root, and it knows of partitions, not of file systems.
root_parameter() {
    case " $parameters " in
        *" root="*) return ;;
    esac
    if [ -n "$initrd" ]; then
        printf 'root=UUID=%s ' "$uuid"
    else
        printf 'root=PARTUUID=%s ' "$(blkid -p -s PART_ENTRY_UUID -o value "$partition")"
    fi
}

# Grub speaks on the serial line that the kernel is told to use.
terminal() {
    serial=$(printf '%s\n' "$parameters" | tr ' ' '\n' | sed -n 's/^console=ttyS\([0-9]\{1,2\}.*\)$/\1/p' | tail -n 1)
    [ -n "$serial" ] || return 0
    speed=$(printf '%s\n' "$serial" | sed -n 's/^[0-9]*,\([0-9]\{1,\}\).*$/\1/p')
    printf 'serial --unit=%s --speed=%s\n' "${serial%%[!0-9]*}" "${speed:-9600}"
    echo 'terminal_input serial console'
    echo 'terminal_output serial console'
}

configuration() {
    terminal
    echo 'set default=0'
    echo 'set timeout=0'
    printf 'search --no-floppy --fs-uuid --set=root %s\n' "$uuid"
    printf 'menuentry %s {\n' "$(quoted "$(printf '%s' "${KADEPLOY_ENV:-environment}" | tr -d '"\n')" '')"
    printf '    linux %s %s\n' "$(quoted "$kernel" '')" "$(quoted_parameters "$(root_parameter)$parameters")"
    [ -z "$initrd" ] || printf '    initrd %s\n' "$(quoted "$initrd" '')"
    echo '}'
}

# grub-install writes into the directory "grub" of this one: a link of ours to that of the image, which need not
# have this name, and to which a link of the image would lead from the miniOS elsewhere.
make_boot_directory() {
    boot=$(mktemp -d)
    ln -s "$grub" "$boot/grub"
}

remove_directories() {
    if [ -n "$esp_directory" ]; then
        umount "$esp_directory" 2>/dev/null || true
        rmdir "$esp_directory"
    fi
    rm -f "$boot/grub"
    rmdir "$boot"
}

install_for_bios() {
    grub-install --target=i386-pc --boot-directory="$boot" --no-floppy "$disk"
}

# This machine does not boot so: what fails here fails no node.
install_for_bios_too() {
    if said=$(install_for_bios 2>&1); then
        return
    fi
    printf '%s\n' "$said" >&2
    printf 'note: the disk does not boot on a machine with a BIOS: %s\n' "$(printf '%s\n' "$said" | tail -n 1)"
}

# In a directory of its own, so that an EFI system partition may hold other systems. The firmware's memory is
# changed afterwards, and differently.
install_for_uefi() {
    grub-install --target=x86_64-efi --efi-directory="$esp_directory" --boot-directory="$boot" \
        --bootloader-id="kadeploy-$number" --no-nvram
}

uuid=$(blkid -p -s UUID -o value "$partition") || fail "$partition holds no file system with a UUID"
found=$(in_tree "$image" grub_files "${KADEPLOY_ENV_KERNEL:?}" "${KADEPLOY_ENV_INITRD:-}")
{
    IFS= read -r kernel
    IFS= read -r initrd
    IFS= read -r grub
} <<END
$found
END

esp_directory=
make_boot_directory
trap remove_directories EXIT
if [ -d /sys/firmware/efi ]; then
    esp_directory=$(mktemp -d)
    bios_boot=$(in_esp "$esp_directory" prepare_esp "$disk" "${KADEPLOY_ESP_PART:-}")
    install_for_uefi
    [ -z "$bios_boot" ] || install_for_bios_too
else
    install_for_bios
fi
# In this directory, whose path is resolved, nothing is a link any more.
configuration >"$grub/grub.cfg.new"
mv "$grub/grub.cfg.new" "$grub/grub.cfg"
# Only now there is something to point to.
if [ -n "$esp_directory" ]; then
    in_esp "$esp_directory" finish_boot "$disk" "${KADEPLOY_ESP_PART:-}" "$number"
    umount "$esp_directory"
fi
