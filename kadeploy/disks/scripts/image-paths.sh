# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Functions about files of the image; put in front of the scripts of this folder.

set -eu

fail() {
    echo "$1" >&2
    exit 1
}

image=${KADEPLOY_ENV_EXTRACTION_DIR:?}

# Prints path $1 of the image with all links followed inside the image: an absolute link begins at the
# image's root, not at ours, and no ".." leads out of it.
resolve_in_image() {
    rest=$1
    path=
    links=0
    while [ -n "$rest" ]; do
        part=${rest%%/*}
        case $rest in
            */*) rest=${rest#*/} ;;
            *) rest= ;;
        esac
        case $part in
            '' | .) ;;
            ..) path=${path%/*} ;;
            *)
                if [ -L "$image$path/$part" ]; then
                    links=$((links + 1))
                    [ "$links" -le 40 ] || fail "$1 of the image is a loop of symbolic links"
                    target=$(readlink "$image$path/$part")
                    case $target in
                        /*) path= ;;
                    esac
                    rest=$target/$rest
                else
                    path=$path/$part
                fi
                ;;
        esac
    done
    printf '%s\n' "$path"
}

# Prints the resolved path of the file $1 of the image; $2 says what it is.
file_in_image() {
    found=$(resolve_in_image "$1")
    [ -f "$image$found" ] || fail "the image has no $2 $1"
    # The paths are given to programs line by line and between quotes.
    case $found in
        *[\"\'[:cntrl:]]*) fail "the name of the $2 $1 has a quote or control character in it" ;;
    esac
    printf '%s\n' "$found"
}
