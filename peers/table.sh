#!/usr/bin/env bash
# Prints every row of the table in docs/performance.md: about 25 minutes with the builds, 10 without.
# `peers/table.sh index names` runs only these parts.
set -euo pipefail
cd "$(dirname "$0")"

all=(index decision names simulator fleet hop)
for part in "${@:-${all[@]}}"; do
    case $part in
        index | decision | names) cargo run --release --locked -p "peers-$part" ;;
        simulator) cargo run --release --locked -p peers-simulator -- 3 ;;
        fleet) (cd .. && cargo bench --locked -p warmpath-sim --bench fleet) ;;
        hop)
            (
                cd ..
                target=${CARGO_TARGET_DIR:-$PWD/target}/release
                cargo build --release --locked -p warmpath-router --example bare --bin router
                cargo bench --locked -p warmpath-router --bench hop -- "$target/examples/bare" "$target/router"
            )
            ;;
        *)
            echo "table.sh: '$part', expected some of: ${all[*]}" >&2
            exit 2
            ;;
    esac
done
