#!/bin/sh
# Compiles proto/tessera.proto into Sources/CWireMessages with protoc-c.
#   proto/generate.sh           writes the files
#   proto/generate.sh --check   writes nothing; fails with a sentence when they are out of date
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
target=$here/../Sources/CWireMessages
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v protoc-c >/dev/null 2>&1; then
    echo "generate.sh: protoc-c is missing; install protobuf-c-compiler (make deps)" >&2
    exit 69
fi

protoc-c --proto_path="$here" --c_out="$work" tessera.proto
for file in tessera.pb-c.h tessera.pb-c.c; do
    case $file in
        *.h) place=$target/include/$file ;;
        *) place=$target/$file ;;
    esac
    if [ "${1-}" = --check ]; then
        if ! cmp -s "$work/$file" "$place"; then
            echo "generate.sh: Sources/CWireMessages/$file differs from what protoc-c makes of" \
                "proto/tessera.proto; run 'make proto' and commit the result" >&2
            exit 1
        fi
    else
        mkdir -p "$target/include"
        cp "$work/$file" "$place"
    fi
done
