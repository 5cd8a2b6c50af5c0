# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Where kernel and initrd of the environment are, as paths on the node.

in_tree "${KADEPLOY_ENV_EXTRACTION_DIR:?}" kernel_files "${KADEPLOY_ENV_KERNEL:?}" "${KADEPLOY_ENV_INITRD:-}"
