"""Checks what `loadgen export` prints for one project with that project's own parser, schema or source.

exports.py PROJECT LOADGEN [FOLDER OF THE PROJECT'S SOURCE]
"""

import asyncio
import copy
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import warnings

import yaml


class Dynamo:
    """The frontend's argparse, the settings' own checks, and a router without workers that reads the policy file."""

    how = "parsed by the frontend, and its router began with it"

    # It refuses at once.
    seconds = 5

    def check(self, flags, file):
        import argparse

        from dynamo.frontend.frontend_args import FrontendArgGroup, FrontendConfig
        from dynamo.llm import KvRouter, KvRouterConfig
        from dynamo.runtime import DistributedRuntime

        parser = argparse.ArgumentParser(exit_on_error=False)
        # A deprecated flag is a warning.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            FrontendArgGroup().add_arguments(parser)
            config = FrontendConfig.from_cli_args(parser.parse_args(flags + self.file(file)))
        config.validate()
        if config.router_mode != "kv":
            return
        router_config = KvRouterConfig(**config.kv_router_kwargs())

        # A router that has read all of it waits for workers, so it has a process of its own, which is ended.
        def make():
            async def made():
                runtime = DistributedRuntime(asyncio.get_running_loop(), "mem", "tcp")
                KvRouter(runtime.endpoint("checks.router.generate"), 16, router_config)

            try:
                asyncio.run(made())
            except Exception as error:
                print(error, file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)

        process = multiprocessing.get_context("fork").Process(target=make)
        process.start()
        process.join(self.seconds)
        if process.is_alive():
            process.kill()
            process.join()
        else:
            assert process.exitcode == 0, "the router refuses it"

    def file(self, file):
        if file is None:
            return []
        path = pathlib.Path(tempfile.mkdtemp(), "policy.yaml")
        path.write_text(file)
        return ["--router-policy-config", str(path)]


class Launcher:
    """The launcher's argparse, and the router in Rust that it makes of the flags."""

    how = "parsed by the launcher, and a router was made of it"

    def check(self, flags, file):
        assert file is None
        flags = flags + ["--worker-urls", "http://127.0.0.1:1"]
        args = self.parse(flags)
        args._validate_router_args()
        self.router().from_args(args)


class Smg(Launcher):
    def parse(self, flags):
        from smg.launch_router import parse_router_args

        return parse_router_args(flags)

    def router(self):
        from smg.router import Router

        return Router


class VllmRouter(Launcher):
    def parse(self, flags):
        from vllm_router.launch_router import parse_router_args

        return parse_router_args(flags)

    def router(self):
        from vllm_router.router import Router

        return Router


class LlmD:
    """The names in the Go source: kinds of plugins and of their parameters. The parser itself needs Go."""

    how = "all names are in the source; its parser needs Go and was not run"

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        runner = (self.folder / "cmd/epp/runner/runner.go").read_text()
        self.registered = set(re.findall(r"fwkplugin\.Register\w*\((\w+\.\w+)", runner))
        # The package of each name there, by its import.
        self.imports = {}
        for alias, path in re.findall(r'^\s+(\w*) ?"github.com/llm-d/llm-d-router/([^"]+)"', runner, re.M):
            self.imports[alias or path.rsplit("/", 1)[-1]] = self.folder / path
        self.types = {}
        for name in self.registered:
            package, constant = name.split(".")
            folder = self.imports.get(package)
            value = folder and self.constant(folder, constant)
            if value:
                self.types[value] = folder

    def source(self, folder):
        files = [path for path in sorted(folder.glob("*.go")) if not path.name.endswith("_test.go")]
        return "\n".join(path.read_text() for path in files)

    def constant(self, folder, name):
        source = self.source(folder)
        if found := re.search(rf'\b{name}\s*(?:=|string =)\s*"([^"]+)"', source):
            return found[1]
        # A constant of another package.
        if found := re.search(rf"\b{name}\s*=\s*(\w+)\.(\w+)", source):
            for path in re.findall(r'"github.com/llm-d/llm-d-router/([^"]+)"', source):
                if value := self.constant(self.folder / path, found[2]):
                    return value
        return None

    def tags(self, *folders):
        return {tag for folder in folders for tag in re.findall(r'json:"(\w+)', self.source(folder))}

    def check(self, flags, file):
        options = (self.folder / "pkg/epp/server/options.go").read_text()
        for flag in flags[::2] + ["--config-file"]:
            assert f'"{flag[2:]}"' in options, f"no flag {flag}"
        config = yaml.safe_load(file)
        api = self.folder / "apix/config/v1alpha1"
        group = re.search(r'Group: *"([^"]+)"|GroupName *= *"([^"]+)"', self.source(api) + self.source(api.parent))
        group = next(name for name in group.groups() if name)
        assert config.pop("apiVersion") == f"{group}/v1alpha1", "another apiVersion"
        assert config.pop("kind") == "EndpointPickerConfig", "another kind"
        known = self.tags(api)
        declared = set()
        for plugin in config["plugins"]:
            assert plugin["type"] in self.types, f"no plugin {plugin['type']}"
            assert plugin["type"] not in declared, f"{plugin['type']} twice"
            declared.add(plugin["type"])
            folder = self.types[plugin["type"]]
            nested = [self.folder / "pkg/kvcache", self.folder / "pkg/kvevents"]
            names = self.tags(folder, *nested)
            for key in keys(plugin.pop("parameters", {})):
                assert key in names, f"{plugin['type']} has no parameter {key}"
        for key in keys(config):
            assert key in known, f"no key {key}"
        for use in find(config, "pluginRef"):
            assert use in declared, f"{use} is not declared"


class ProductionStack:
    """The chart's schema and its values, the router's own argparse, and the chart rendered where helm is there."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.schema = json.loads((self.folder / "helm/values.schema.json").read_text())
        self.values = yaml.safe_load((self.folder / "helm/values.yaml").read_text())
        sys.path.insert(0, str(self.folder / "src"))
        # The module is made by the build.
        version = type(sys)("vllm_router.version")
        version.__version__ = "source"
        sys.modules["vllm_router.version"] = version
        self.how = "valid by the chart's schema, and parsed by the router"
        self.helm = shutil.which("helm")
        if self.helm:
            self.how += "; so are the arguments of the rendered chart"
            self.chart = pathlib.Path(tempfile.mkdtemp(), "chart")
            shutil.copytree(self.folder / "helm", self.chart)
            # The charts that it depends on are other projects'.
            about = yaml.safe_load((self.chart / "Chart.yaml").read_text())
            about.pop("dependencies", None)
            (self.chart / "Chart.yaml").write_text(yaml.safe_dump(about))
            (self.chart / "Chart.lock").unlink(missing_ok=True)

    def check(self, flags, file):
        import jsonschema

        values = yaml.safe_load(file)
        jsonschema.validate(values, self.schema)
        for key in values["routerSpec"]:
            assert key in self.values["routerSpec"], f"the chart has no value routerSpec.{key}"
        own = self.parse(flags + ["--service-discovery", "static", "--static-backends", "http://a", "--static-models", "m"])
        if not self.helm:
            return
        path = pathlib.Path(tempfile.mkdtemp(), "values.yaml")
        path.write_text(file)
        command = [self.helm, "template", "check", self.chart, "--values", path]
        rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        documents = [document for document in yaml.safe_load_all(rendered) if document]
        [router] = [d for d in documents if d["kind"] == "Deployment" and "router" in d["metadata"]["name"]]
        by_chart = self.parse(router["spec"]["template"]["spec"]["containers"][0]["args"])
        for name in [flag[2:].replace("-", "_") for flag in flags[::2]]:
            assert getattr(own, name) == getattr(by_chart, name), f"{name} differs"

    def parse(self, flags):
        from vllm_router.parsers.parser import parse_args

        sys.argv = ["vllm-router", *flags, *([] if "--k8s-port" in flags else ["--k8s-port", "8000"])]
        return parse_args()


def keys(node):
    """The keys of all maps in it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys(value)


def find(node, key):
    """The values of a key in all maps in it."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from find(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from find(value, key)


def refuses(checker, flags, file):
    """Whether the check fails."""
    try:
        checker.check(flags, file)
    except (Exception, SystemExit):
        return True
    return False


def misspelt(content):
    """The content with another name in its deepest map."""
    content = copy.deepcopy(content)
    deepest, depth = content, 0

    def walk(node, at):
        nonlocal deepest, depth
        if isinstance(node, dict) and node and at >= depth:
            deepest, depth = node, at
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
            walk(value, at + 1)

    walk(content, 0)
    key = next(iter(deepest))
    deepest[key + "x"] = deepest.pop(key)
    return content


def main():
    project, loadgen, *source = sys.argv[1:]

    def export(*args):
        return subprocess.run([loadgen, "export", *args], check=True, capture_output=True, text=True).stdout

    if source == [""]:
        print(f"{project}: not checked: its repository cannot be had here")
        return
    kinds = {
        "dynamo": Dynamo,
        "smg": Smg,
        "vllm-router": VllmRouter,
        "llm-d": LlmD,
        "production-stack": ProductionStack,
    }
    checker = kinds[project](*source)
    rules = [row["policy"] for row in json.loads(export("--to", project, "--json"))["rows"]]
    cases = pathlib.Path(__file__).with_name("exports.txt").read_text().splitlines()
    rules += [rule for of, _, rule in (line.partition(" ") for line in cases) if of == project]
    failed, refused = [], 0
    for rule in rules:
        text = export("--rule", rule, "--to", project)
        asked = json.loads(export("--rule", rule, "--to", project, "--json"))
        flags, content = asked["flags"], asked["file"] and asked["file"]["content"]
        file = None if content is None else text
        try:
            if content is not None:
                assert yaml.safe_load(text) == content, "the text and the JSON differ"
            else:
                lines = [line for line in text.splitlines() if not line.startswith("#")]
                assert " ".join(lines).split() == flags, "the text and the JSON differ"
            checker.check(flags, file)
        except (Exception, SystemExit) as error:
            failed.append(f"{rule}: {type(error).__name__}: {error}")
            continue
        # The check must be able to fail.
        wrong_flags = [flags[0] + "x", *flags[1:]] if flags and content is None else flags
        wrong_file = None if content is None else yaml.safe_dump(misspelt(content), sort_keys=False)
        if refuses(checker, wrong_flags, wrong_file):
            refused += 1
        else:
            failed.append(f"{rule}: the check accepts a wrong name too")
    for line in failed:
        print(f"{project}: {line}")
    print(f"{project}: {len(rules) - len(failed)} of {len(rules)} configurations: {checker.how}; {refused} wrong names refused")
    sys.stdout.flush()
    # Threads of a project's own runtime would keep the process.
    os._exit(bool(failed))


main()
