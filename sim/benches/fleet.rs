//! What a simulated request costs as fleets grow, with the load in proportion, and how much memory they take:
//! `cargo bench -p warmpath-sim --bench fleet`.
//!
//! ```text
//! ... --bench fleet                                  8, 64, 512 and 4,096 workers, 25 requests a worker and more
//! ... --bench fleet -- POLICY WORKERS REQUESTS        one row
//! ```
//!
//! Each row is a process of its own. Time is the CPU time of its thread, the making of the requests included; memory
//! is what the allocator gave out.

// A bench is a shell: it reads its arguments and a file, and starts processes.
#![allow(clippy::disallowed_methods)]

use std::process::{Command, ExitCode};
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::Profile;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::Workload;
use warmpath_core::workload::sessions::{Amount, Arrivals, Sessions, SessionsSpec, ThinkFrom};
use warmpath_sim::{Group, Observers, Scenario, run};

/// The fleets of the table, and how many requests each gets: small fleets enough to be timed, large ones enough to
/// warm up.
const ROWS: [(u32, u64); 4] = [(8, 40_000), (64, 40_000), (512, 100_000), (4_096, 400_000)];
const POLICIES: [&str; 3] = ["round-robin", "kv-aware", "warmpath"];

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    match &arguments[..] {
        [] => table(),
        [policy, workers, requests] => match (policy.parse(), workers.parse(), requests.parse()) {
            (Ok(policy), Ok(workers), Ok(requests)) => {
                row(policy, workers, requests);
                ExitCode::SUCCESS
            }
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("fleet: expected no argument, or POLICY WORKERS REQUESTS");
    ExitCode::from(2)
}

fn table() -> ExitCode {
    println!(
        "{:12} {:>7} {:>9} {:>9} {:>14} {:>11} {:>11} {:>12}",
        "policy",
        "workers",
        "requests",
        "CPU s",
        "us a request",
        "peak MiB",
        "KiB/worker",
        "B/request"
    );
    for policy in POLICIES {
        for (workers, requests) in ROWS {
            let own = std::env::current_exe().expect("this program has a path");
            let row = Command::new(own)
                .args([policy, &workers.to_string(), &requests.to_string()])
                .status();
            if !row.is_ok_and(|status| status.success()) {
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn row(policy: PolicyConfig, workers: u32, requests: u64) {
    // A fleet with one request is a fleet at rest.
    let rest = allocation_counter::measure(|| play(policy, workers, 1)).bytes_max;
    let start = cpu_seconds();
    let peak = allocation_counter::measure(|| play(policy, workers, requests)).bytes_max;
    let took = cpu_seconds() - start;
    let (n, each) = (requests as f64, took * 1e6 / requests as f64);
    println!(
        "{:12} {workers:>7} {requests:>9} {took:>9.2} {each:>14.1} {:>11.1} {:>11.1} {:>12.0}",
        policy.to_string(),
        peak as f64 / f64::from(1 << 20),
        rest as f64 / f64::from(workers) / 1024.0,
        peak.saturating_sub(rest) as f64 / n,
    );
}

/// Sessions of five messages each over a few system prompts, as many as the fleet serves easily.
fn play(policy: PolicyConfig, workers: u32, requests: u64) {
    let text = include_str!("../../deploy/profiles/lab-tp2.toml");
    let profile: Profile = toml::from_str(text).expect("a profile");
    let spec = SessionsSpec {
        name: "fleet".into(),
        requests,
        arrivals: Arrivals::Poisson { sessions_per_s: 0.025 * f64::from(workers) },
        system_prompts: 4,
        system_tokens: 3_000,
        branching: None,
        turns: Amount { mean: 5.0, cv: 0.5 },
        user_tokens: Amount { mean: 1_000.0, cv: 0.6 },
        output_tokens: Amount { mean: 200.0, cv: 0.6 },
        think_s: Amount { mean: 8.0, cv: 0.3 },
        think_from: ThinkFrom::Answer,
        max_context_tokens: 64_000,
    };
    let scope = ScopePlan::new("", "fleet", "", profile.block_size);
    let workload = Workload::Sessions(Sessions::new(&spec, &scope, 1, 1.0, None));
    let scenario = Scenario { seed: 1, ..Scenario::plain(Group::alone(workers, profile), policy) };
    let outcome = run(&scenario, workload, Observers::default()).expect("a world that can be made");
    assert_eq!(outcome.recorder.ended(), requests, "each request ended");
}

/// CPU time of this thread, by the kernel's count.
fn cpu_seconds() -> f64 {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts CPU time");
    let ns: u64 =
        text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds come first");
    ns as f64 * 1e-9
}
