# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # image is set by image-paths.sh
# Where kernel and initrd of the environment are, as paths on the node.

kernel=$(file_in_image "${KADEPLOY_ENV_KERNEL:?}" kernel)
printf '%s\n' "$image$kernel"
if [ -n "${KADEPLOY_ENV_INITRD:-}" ]; then
    initrd=$(file_in_image "$KADEPLOY_ENV_INITRD" initrd)
    printf '%s\n' "$image$initrd"
else
    echo
fi
