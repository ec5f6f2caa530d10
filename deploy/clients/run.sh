#!/bin/sh
# Drives a router and a worker with clients from PyPI, over OpenAI's HTTP: openai, aiperf and inference-perf, or those that
# CLIENTS names (`CLIENTS=openai`). `CLIENTS=vllm` runs `vllm bench serve`, whose packages take 9 GB. It starts both
# processes itself and ends them.
#
#   cargo build -p warmpath-router -p warmpath-worker-sim
#   deploy/clients/run.sh target/debug
#
# The packages go into VENV, by default a new temporary folder. Exit status 0: each client did what it should; 3: a
# package could not be installed, and nothing was tested.
set -eu

binaries=${1:?"expected the folder of the programs, such as target/debug"}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
venv=${VENV:-$work/venv}
worker_pid= router_pid=
finish() {
    [ -z "$router_pid" ] || kill "$router_pid" 2>/dev/null || true
    [ -z "$worker_pid" ] || kill "$worker_pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT INT TERM

clients=${CLIENTS:-openai aiperf inference-perf}
has() {
    case " $clients " in *" $1 "*) ;; *) return 1 ;; esac
}
# Packages into a folder of their own.
install() {
    folder=$1
    shift
    [ -x "$folder/bin/python" ] || python3 -m venv "$folder" || exit 3
    "$folder/bin/pip" install --quiet "$@" || { echo "not installed: $*" >&2; exit 3; }
}
install "$venv" openai==3.57.0
! has aiperf || install "$venv" aiperf==0.13.0 tokenizers
! has vllm || install "$venv.vllm" vllm==0.32.0
# It needs other versions than aiperf of what both need.
perf=$venv.perf
if has inference-perf; then
    install "$perf" tokenizers
    if ! "$perf/bin/pip" install --quiet inference-perf==0.7.0 2>/dev/null; then
        # It asks for Python 3.12, and runs on 3.11 with what it needs there.
        install "$perf" aiohttp 'pydantic>=2.10.6' 'numpy>=2.2.2,<2.4' datasets transformers==5.13.0 jinja2 \
            google-cloud-storage pyyaml boto3 uvloop tqdm 'aiofiles>=25.1.0' tiktoken rich 'av>=13' pillow \
            prometheus-client
        install "$perf" --no-deps --ignore-requires-python inference-perf==0.7.0
    fi
fi

# The address that a process says it serves HTTP at.
address() {
    for _ in $(seq 100); do
        found=$(sed -n 's/.*HTTP address=\([^ ]*\).*/\1/p' "$1" 2>/dev/null || true)
        if [ -n "$found" ]; then
            echo "$found"
            return
        fi
        sleep 0.1
    done
    cat "$1" >&2
    exit 1
}

export RUST_LOG=info NO_COLOR=1
"$binaries/worker-sim" --profile llama-8b-bf16-h100 --http-listen 127.0.0.1:0 2>"$work/worker.log" &
worker_pid=$!
worker=$(address "$work/worker.log")
grpc=$(sed -n 's/.*listening address=\([^ ]*\).*/\1/p' "$work/worker.log")
printf '[http]\nreset_by = ["default"]\n' >"$work/router.toml"
"$binaries/router" --config "$work/router.toml" --policy kv-aware --worker "http://$grpc" \
    --http-listen 127.0.0.1:0 2>"$work/router.log" &
router_pid=$!
router=$(address "$work/router.log")

salt=0
for url in "http://$worker" "http://$router"; do
    echo "== $url"
    "$venv/bin/python" "$here/openai_client.py" "$url"
    salt=$((salt + 1))
    if has inference-perf; then
        "$perf/bin/python" "$here/tokenizer.py" "$work/ascii" ascii
        "$venv/bin/python" "$here/inference_perf.py" config "$work/perf" "$url" "$work/ascii" $salt \
            >"$work/perf.yml"
        before=$("$venv/bin/python" "$here/hit_rate.py" before "http://$worker")
        HF_HUB_OFFLINE=1 "$perf/bin/inference-perf" -c "$work/perf.yml" >"$work/perf.log" 2>&1 ||
            { tail -50 "$work/perf.log" >&2; exit 1; }
        # shellcheck disable=SC2086
        "$venv/bin/python" "$here/inference_perf.py" report "$work/perf" "http://$worker" $before
        rm -rf "$work/perf"
    fi
    if has vllm; then
        "$venv.vllm/bin/python" "$here/tokenizer.py" "$work/vllm"
        "$venv.vllm/bin/python" "$here/vllm_bench.py" trace "$work/timed.jsonl" $salt
        before=$("$venv/bin/python" "$here/hit_rate.py" before "http://$worker")
        HF_HUB_OFFLINE=1 "$venv.vllm/bin/vllm" bench serve --backend openai --base-url "$url" --model simulated \
            --tokenizer "$work/vllm" --dataset-name timed_trace --dataset-path "$work/timed.jsonl" \
            --timed-trace-chunk-hash-size 512 --timed-trace-sec-multiplier 0.001 --self-timed --num-prompts 40 \
            --disable-tqdm --save-result --result-dir "$work" --result-filename bench.json \
            >"$work/bench.log" 2>&1 || { tail -50 "$work/bench.log" >&2; exit 1; }
        # shellcheck disable=SC2086
        "$venv/bin/python" "$here/vllm_bench.py" report "$work/bench.json" "http://$worker" $before
    fi
    has aiperf || continue
    "$venv/bin/python" "$here/tokenizer.py" "$work/tokenizer"
    for endpoint in chat completions; do
        "$venv/bin/aiperf" profile --model simulated --tokenizer "$work/tokenizer" \
            --url "$url" --endpoint-type $endpoint --streaming --concurrency 4 --request-count 20 \
            --isl 200 --osl 16 --use-server-token-count --ui none --artifact-dir "$work/$endpoint" \
            >"$work/aiperf.log" 2>&1 || { tail -50 "$work/aiperf.log" >&2; exit 1; }
        "$venv/bin/python" "$here/aiperf_report.py" "$work/$endpoint"
    done
    # A trace on its own schedule, whose hit rate the worker counts too.
    "$venv/bin/python" "$here/trace.py" "$work/trace.jsonl" $salt
    before=$("$venv/bin/python" "$here/hit_rate.py" before "http://$worker")
    "$venv/bin/aiperf" profile --model simulated --tokenizer "$work/tokenizer" --url "$url" \
        --endpoint-type completions --streaming --input-file "$work/trace.jsonl" \
        --custom-dataset-type mooncake_trace --fixed-schedule --fixed-schedule-auto-offset \
        --use-server-token-count --ui none --artifact-dir "$work/trace" \
        >"$work/aiperf.log" 2>&1 || { tail -50 "$work/aiperf.log" >&2; exit 1; }
    # shellcheck disable=SC2086
    "$venv/bin/python" "$here/hit_rate.py" after "$work/trace" "http://$worker" $before
    rm -rf "$work/trace" "$work/chat" "$work/completions"
done
echo "all clients did what they should"
