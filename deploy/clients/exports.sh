#!/bin/sh
# Gives each configuration that `loadgen export` prints to the project that it is for: its own parser where PyPI has
# it, its schema or source where a repository is needed. Each check must also refuse a configuration with a wrong name.
#
#   cargo build -p warmpath-loadgen
#   deploy/clients/exports.sh target/debug/loadgen
#
# The packages go into folders below VENVS, by default a new temporary folder. The repositories are cloned from GitHub
# unless LLM_D_ROUTER and PRODUCTION_STACK name folders that have them; where they cannot be had, that is said. With
# helm on the PATH, the chart of production-stack is rendered too. Exit status 0: what was checked is right.
set -eu

loadgen=$(realpath "${1:?"expected the program, such as target/debug/loadgen"}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
venvs=${VENVS:-$work}
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# A folder of its own for the packages of a project.
venv() {
    name=$1
    shift
    [ -x "$venvs/$name/bin/python" ] || python3 -m venv "$venvs/$name"
    "$venvs/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# The folder of a repository at a commit, given or cloned. Nothing: it cannot be had.
source_of() {
    if [ -n "$3" ]; then
        echo "$3"
        return
    fi
    folder=$work/source/$(basename "$1")
    mkdir -p "$folder" && cd "$folder" && git init --quiet &&
        GIT_TERMINAL_PROMPT=0 git fetch --quiet --depth 1 "https://github.com/$1" "$2" &&
        git checkout --quiet FETCH_HEAD && echo "$folder"
}

failed=0
check() {
    python=$1
    project=$2
    shift 2
    timeout 300 "$python" "$here/exports.py" "$project" "$loadgen" "$@" 2>"$work/said" && return
    echo "$project: a check failed or did not end" >&2
    tail -20 "$work/said" >&2
    failed=1
}

# The packages that Dynamo's parser and its router need; all that it asks for would bring gigabytes.
venv dynamo --no-deps ai-dynamo==1.6.1 ai-dynamo-runtime==1.6.1
venv dynamo pyyaml msgspec 'pydantic<=2.13.5' typing_extensions packaging zstandard aiohttp prometheus-client
check "$venvs/dynamo/bin/python" dynamo

venv smg smg==1.13.0 pyyaml
check "$venvs/smg/bin/python" smg

venv vllm-router vllm-router==0.1.17 pyyaml
check "$venvs/vllm-router/bin/python" vllm-router

venv files pyyaml jsonschema
llm_d=$(source_of llm-d/llm-d-router ebab687927f5331c1b39defcb579a07951bce56c "${LLM_D_ROUTER:-}" 2>/dev/null) || llm_d=
check "$venvs/files/bin/python" llm-d "$llm_d"

stack=$(source_of vllm-project/production-stack a6c01db05f65f556235413ba8dbcfb0c01132fff "${PRODUCTION_STACK:-}" \
    2>/dev/null) || stack=
# Its router is not on PyPI. These are what its parser imports.
venv files aiofiles aiohttp fastapi uvicorn requests prometheus-client numpy
check "$venvs/files/bin/python" production-stack "$stack"

exit $failed
