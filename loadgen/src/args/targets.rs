//! Routers that run elsewhere, side by side before one fleet.

use crate::files::{bad, check_url};
use anyhow::Result;
use clap::Args;
use std::str::FromStr;

/// Routers that run, and the workers behind them.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// Router that is running, before the workers of --worker-http; repeat the flag for each router. NAME is for
    /// the report; the address is grpc://HOST:PORT for vLLM's gRPC, http://HOST:PORT for OpenAI's HTTP, or
    /// sglang://HOST:PORT for SGLang's /generate over HTTP, which SMG serves. The routers get the same requests one
    /// after the other, and the policies of the set-up are simulated beside them
    #[arg(long = "target", value_name = "NAME=ADDRESS")]
    pub targets: Vec<Router>,
    /// HTTP address of a worker behind the targets, http://HOST:PORT; repeat the flag for all workers. Their caches are
    /// emptied before each target, and their counters are read
    #[arg(long, value_name = "URL")]
    pub worker_http: Vec<String>,
}

/// A router that runs, with the name that the user gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Router {
    pub name: String,
    pub speaks: Speaks,
    /// `http://HOST:PORT`.
    pub url: String,
}

/// What a router speaks to its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaks {
    Grpc,
    OpenAi,
    Sglang,
}

impl FromStr for Router {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected NAME=grpc://HOST:PORT, NAME=http://.. or NAME=sglang://..";
        let (name, address) = text.split_once('=').ok_or(expected)?;
        if name.trim().is_empty() {
            return Err(expected.to_owned());
        }
        let (speaks, rest) = match address.split_once("://") {
            Some(("grpc", rest)) => (Speaks::Grpc, rest),
            Some(("http", rest)) => (Speaks::OpenAi, rest),
            Some(("sglang", rest)) => (Speaks::Sglang, rest),
            _ => return Err(expected.to_owned()),
        };
        let url = format!("http://{}", rest.trim_end_matches('/'));
        check_url("", &url).map_err(|_| expected)?;
        Ok(Self { name: name.to_owned(), speaks, url })
    }
}

impl TargetArgs {
    /// Whether running routers are compared. An error is a flag that does not go with the others.
    pub fn are_given(&self) -> Result<bool> {
        match (self.targets.as_slice(), self.worker_http.as_slice()) {
            ([], []) => return Ok(false),
            ([], _) => {
                return Err(bad("--worker-http: no router to compare, expected --target too"));
            }
            (_, []) => {
                let why =
                    "--target: whose workers are unknown, expected --worker-http for each of them";
                return Err(bad(why));
            }
            _ => {}
        }
        for (i, worker) in self.worker_http.iter().enumerate() {
            check_url("--worker-http", worker)?;
            if self.worker_http[..i].contains(worker) {
                return Err(bad(format!("--worker-http: {worker} is given twice")));
            }
        }
        for (i, target) in self.targets.iter().enumerate() {
            if self.targets[..i].iter().any(|other| other.name == target.name) {
                let name = &target.name;
                return Err(bad(format!(
                    "--target: two are called {name}, expected a name for each"
                )));
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_written() {
        let router: Router = "a=grpc://[::1]:50051/".parse().unwrap();
        let url = "http://[::1]:50051".to_owned();
        assert_eq!(router, Router { name: "a".to_owned(), speaks: Speaks::Grpc, url });
        let router: Router = "vllm-router=http://127.0.0.1:30000".parse().unwrap();
        assert_eq!((router.name.as_str(), router.speaks), ("vllm-router", Speaks::OpenAi));
        assert_eq!("s=sglang://h:1".parse::<Router>().unwrap().speaks, Speaks::Sglang);
        for bad in ["", "x", "=http://h:1", "x=h:1", "x=https://h:1", "x=http://h", "x=http://h:0"]
        {
            let error = bad.parse::<Router>().unwrap_err();
            assert!(error.starts_with("expected NAME=grpc://"), "{bad}: {error}");
        }
    }
}
