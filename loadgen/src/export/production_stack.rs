//! vLLM's production-stack: values of its Helm chart, and flags of its router. Names are those of commit a6c01db0:
//! `helm/values.schema.json` (chart `vllm-stack` 0.1.12), `helm/templates/deployment-router.yaml` and
//! `src/vllm_router/parsers/parser.py`.

use super::deployment::{About, Deployment, File};
use super::parameters::Parameters;
use crate::yaml::{Entries, Node};
use anyhow::Result;

pub const ABOUT: About = About {
    title: "production-stack",
    version: "chart vllm-stack 0.1.12 (commit a6c01db0)",
    command: "helm upgrade --install RELEASE vllm/vllm-stack",
    deploys: &[
        ("round-robin", "routingLogic: roundrobin"),
        ("production-stack-kvaware", "routingLogic: kvaware"),
        ("production-stack-prefixaware", "routingLogic: prefixaware"),
    ],
    nearest: &[
        ("random", "round-robin"),
        ("least-loaded", "round-robin"),
        ("power-of-two", "round-robin"),
        ("session-affinity", "its routing logic session"),
        (
            "production-stack-loadaware",
            "production-stack-kvaware (loadaware came after that version)",
        ),
        ("warmpath", "production-stack-kvaware"),
        ("kv-aware", "production-stack-kvaware"),
        ("sticky-session", "its routing logic session"),
        ("wait-for-room", "round-robin"),
    ],
};

/// The header that names a session, in the project's guide to kvaware.
const SESSION_KEY: &str = "x-user-id";

pub fn deployment(rule: &mut Parameters) -> Result<Deployment> {
    let mut to = Deployment::default();
    let mut values = Values::default();
    match rule.rule() {
        "production-stack-kvaware" => kvaware(rule, &mut values, &mut to)?,
        "production-stack-prefixaware" => prefixaware(rule, &mut values)?,
        _ => values.logic("roundrobin"),
    }
    let Values { mut router, flags, extra } = values;
    if !extra.is_empty() {
        router.push(("extraArgs", Node::List(extra)));
    }
    let content = Node::Map(vec![("routerSpec", Node::Map(router))]);
    to.flags.0 = flags;
    to.file = Some(File { flag: "--values", content, in_flags: Some("vllm-router") });
    Ok(to)
}

/// Values of the chart, and the same as flags.
#[derive(Default)]
struct Values {
    router: Entries,
    flags: Vec<(&'static str, String)>,
    /// Flags that the chart has no value for.
    extra: Vec<Node>,
}

impl Values {
    fn logic(&mut self, logic: &str) {
        self.text("routingLogic", "--routing-logic", logic);
    }

    fn text(&mut self, key: &'static str, flag: &'static str, value: &str) {
        self.router.push((key, Node::text(value)));
        self.flags.push((flag, value.to_owned()));
    }

    fn number(&mut self, built_in: &str, key: &'static str, flag: &'static str, value: String) {
        if value != built_in {
            self.router.push((key, Node::number(&value)));
            self.flags.push((flag, value));
        }
    }

    /// A flag that the chart has no value for.
    fn extra(&mut self, built_in: &str, flag: &'static str, value: String) {
        if value != built_in {
            self.extra.extend([Node::text(flag), Node::text(&value)]);
            self.flags.push((flag, value));
        }
    }
}

fn kvaware(rule: &mut Parameters, values: &mut Values, to: &mut Deployment) -> Result<()> {
    rule.fixed("chunk", "256", "LMCache's chunk_size is a setting of the workers")?;
    values.logic("kvaware");
    if rule.is("sessions", "true") {
        values.text("sessionKey", "--session-key", SESSION_KEY);
        to.note(format!("{SESSION_KEY} is the header of the project's guide: set the one that names your sessions"));
    }
    values.number("60", "requestStatsWindow", "--request-stats-window", rule.whole("window_s")?);
    values.extra("2000", "--kv-aware-threshold", rule.take("threshold"));
    to.note(
        "workers need LMCache with its controller enabled (lmcacheConfig, lmcacheControllerPort)",
    );
    Ok(())
}

fn prefixaware(rule: &mut Parameters, values: &mut Values) -> Result<()> {
    rule.fixed("chunk", "128", "chunk_size is a constant")?;
    rule.fixed("index", "predicted", "prefixaware follows no events")?;
    values.logic("prefixaware");
    values.number("0", "prefixMinMatchLength", "--prefix-min-match-length", rule.take("min_match"));
    values.number("60", "requestStatsWindow", "--request-stats-window", rule.whole("window_s")?);
    Ok(())
}
