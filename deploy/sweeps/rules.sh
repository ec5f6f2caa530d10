#!/usr/bin/env bash
# Plays every rule over traces, workloads, loads, fleet sizes and memory sizes, and ranks them:
#   deploy/sweeps/rules.sh OUT [TRACES]
# OUT: the folder of the reports; a report that is there is not played again. TRACES: the folder of
# mooncake-conversation.jsonl and coding-agent-sessions.jsonl.gz; without it only workloads are played.
# LOADGEN, POLICIES and SEEDS change what is run. The closed loops of many
# sessions take the longest.
set -euo pipefail
out=${1:?usage: rules.sh OUT [TRACES]}
traces=${2:-}
loadgen=${LOADGEN:-loadgen}
policies=${POLICIES:-all}
seeds=${SEEDS:-1}
mkdir -p "$out"

play() {
    local report=$out/$1.json
    shift
    # Status 1: too many requests of some run failed. Its report is there, and says so.
    [ -s "$report" ] ||
        "$loadgen" sim "$@" --policies "$policies" --seeds "$seeds" --json "$report" >"$report.txt" ||
        [ $? -eq 1 ]
    echo "$report"
}

if [ -n "$traces" ]; then
    conversation=(--trace "$traces/mooncake-conversation.jsonl" --tick-jitter)
    play conversation-8 "${conversation[@]}" --workers 8 --rates 0.5,1,1.6,1.8,2.5
    play conversation-8-small "${conversation[@]}" --workers 8 --rates 1,1.8 --hbm-tokens 200000
    play conversation-8-large "${conversation[@]}" --workers 8 --rates 1.8,2.5 --hbm-tokens 4000000
    play conversation-16 "${conversation[@]}" --workers 16 --rates 3,5
    play conversation-64 "${conversation[@]}" --workers 64 --rates 4,12
    agents=(--trace "$traces/coding-agent-sessions.jsonl.gz" --shuffle)
    play agents-8-32 "${agents[@]}" --workers 8 --sessions 32
    for sessions in 8 16 64 128; do
        play "agents-16-$sessions" "${agents[@]}" --workers 16 --sessions $sessions
    done
    play agents-16-64-large "${agents[@]}" --workers 16 --sessions 64 --hbm-tokens 2000000
    play agents-64-128 "${agents[@]}" --workers 64 --sessions 128
fi
for workload in chat assistant enterprise-kb commodity-qa multi-agent code-completion; do
    play "$workload-8" --workload $workload --workers 8 --rates 0.5,1,2
    play "$workload-64" --workload $workload --workers 64 --rates 4,12
done
for workload in research-agents coding-agents tree-search office always-on-monitor; do
    play "$workload-8" --workload $workload --workers 8
    play "$workload-16" --workload $workload --workers 16
    # Many prompts of these two do not fit into less memory.
    [ $workload = coding-agents ] || [ $workload = research-agents ] ||
        play "$workload-16-small" --workload $workload --workers 16 --hbm-tokens 120000
done
play 73-capacity --workload llm-d-73-capacity --workers 8 --profile qwen3-32b-bf16-2xh100
"$loadgen" rank "$out"/*.json --policy warmpath
