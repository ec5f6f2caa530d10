#!/bin/sh
# Compares running routers of three makes before the same eight simulated workers: ours, vLLM's (kv_aware) and SMG
# (cache_aware), with rules of ours simulated beside them. docs/routers.md says what came of it. It needs Python
# and PyPI, takes some minutes, and ends all that it starts.
#
#   cargo build --release
#   deploy/clients/routers.sh target/release TRACE.jsonl
#
# The settings are environment variables: REQUESTS of the trace, SPEEDUP (model seconds per wall second; lower it where
# the report says that requests were late), HBM_TOKENS of a worker, POLICIES that are simulated beside, PORT (the first
# of 60), VENV. More flags of `loadgen compare` may follow the trace.
set -eu

binaries=${1:?"expected the folder of the programs, such as target/release"}
trace=${2:?"expected a trace file, such as Mooncake's conversation trace"}
shift 2
REQUESTS=${REQUESTS:-1500} SPEEDUP=${SPEEDUP:-5} HBM_TOKENS=${HBM_TOKENS:-1000000} PORT=${PORT:-17000}
POLICIES=${POLICIES:-warmpath,lpwl,vllm-router-kv-aware,smg-cache-aware}
PROFILE=llama-70b-fp8-4xh100 BLOCK=16 WORKERS=8

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
venv=${VENV:-$work/venv}
pids=
finish() {
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    # shellcheck disable=SC2086
    [ -z "$pids" ] || wait $pids 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT INT TERM

# A line of a process's log, once it is there.
wait_for() {
    for _ in $(seq 600); do
        if grep -aq "$1" "$2"; then
            return
        fi
        sleep 0.1
    done
    echo "no '$1' in $2:" >&2
    tail -30 "$2" >&2
    exit 1
}

# An answer of 200 at this address.
wait_for_200() {
    "$venv/bin/python" - "$1" <<'PYTHON'
import sys, time, urllib.request
for _ in range(300):
    try:
        if urllib.request.urlopen(sys.argv[1], timeout=2).status == 200:
            sys.exit(0)
    except OSError:
        pass
    time.sleep(0.2)
sys.exit(f"{sys.argv[1]} did not answer 200 in a minute")
PYTHON
}

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet vllm-router==0.1.17 smg==1.13.0 tokenizers
# SMG must have a tokenizer, though no request has text.
"$venv/bin/python" "$here/tokenizer.py" "$work/tokenizer"

export RUST_LOG=info NO_COLOR=1
ours= theirs= smg= behind= workers=
i=0
while [ $i -lt $WORKERS ]; do
    grpc=$((PORT + i)) http=$((PORT + 10 + i)) events=$((PORT + 20 + i)) replay=$((PORT + 30 + i))
    "$binaries/worker-sim" --profile $PROFILE --hbm-tokens "$HBM_TOKENS" --block-size $BLOCK --name "w$i" \
        --speedup "$SPEEDUP" --listen 127.0.0.1:$grpc --http-listen 127.0.0.1:$http --tokenizer "$work/tokenizer" \
        --kv-events tcp://127.0.0.1:$events --kv-events-replay tcp://127.0.0.1:$replay 2>"$work/worker-$i.log" &
    pids="$pids $!"
    url=http://127.0.0.1:$http
    ours="$ours --worker http://127.0.0.1:$grpc"
    smg="$smg grpc://127.0.0.1:$grpc"
    workers="$workers $url"
    theirs="$theirs --kv-event-source $url=tcp://127.0.0.1:$events"
    theirs="$theirs --kv-event-replay-source $url=tcp://127.0.0.1:$replay"
    behind="$behind --worker-http $url"
    i=$((i + 1))
done
i=0
while [ $i -lt $WORKERS ]; do
    wait_for 'listening address=' "$work/worker-$i.log"
    i=$((i + 1))
done

# shellcheck disable=SC2086
"$binaries/router" --policy warmpath $ours --speedup "$SPEEDUP" --listen 127.0.0.1:$((PORT + 40)) \
    --http-listen 127.0.0.1:$((PORT + 41)) 2>"$work/ours.log" &
pids="$pids $!"
# shellcheck disable=SC2086
"$venv/bin/vllm-router" --host 127.0.0.1 --port $((PORT + 42)) --worker-urls $workers --policy kv_aware $theirs \
    --kv-event-block-size $BLOCK --kv-event-model simulated --worker-startup-check-interval 1 \
    --prometheus-port $((PORT + 43)) >"$work/vllm-router.log" 2>&1 &
pids="$pids $!"
# shellcheck disable=SC2086
"$venv/bin/smg" launch --host 127.0.0.1 --port $((PORT + 44)) --worker-urls $smg --policy cache_aware \
    --model-path "$work/tokenizer" --worker-startup-check-interval 1 --prometheus-host 127.0.0.1 \
    --prometheus-port $((PORT + 45)) >"$work/smg.log" 2>&1 &
pids="$pids $!"
wait_for_200 "http://127.0.0.1:$((PORT + 41))/health"
wait_for_200 "http://127.0.0.1:$((PORT + 42))/health"
wait_for_200 "http://127.0.0.1:$((PORT + 44))/v1/models"
# SMG knows a worker when it follows its cache.
i=0
while [ $i -lt $WORKERS ]; do
    wait_for "KV event relay snapshot applied.*127.0.0.1:$((PORT + i))" "$work/smg.log"
    i=$((i + 1))
done

# shellcheck disable=SC2086
"$binaries/loadgen" compare \
    --target ours=grpc://127.0.0.1:$((PORT + 40)) \
    --target vllm-router=http://127.0.0.1:$((PORT + 42)) \
    --target smg=sglang://127.0.0.1:$((PORT + 44)) \
    $behind --trace "$trace" --workers $WORKERS --profile $PROFILE --hbm-tokens "$HBM_TOKENS" --block-size $BLOCK \
    --policies "$POLICIES" --live-requests "$REQUESTS" "$@"
