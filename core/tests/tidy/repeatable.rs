//! What would make two runs of the services in virtual time differ: a clock that no test can hold, and chance that
//! no test can seed. Tests under a simulated network rest on this, and so does that no decision reads a date.

use crate::files::{read, root, rust_files, shown};
use std::path::PathBuf;

/// The services that a test may put into virtual time.
const SERVICES: &[&str] = &["proto", "router", "worker-sim"];
/// The one place that reads clocks.
const CLOCK: &str = "proto/src/clock.rs";
const CLOCKS: &[&str] =
    &["SystemTime", "Instant::now", ".elapsed()", "UNIX_EPOCH", "thread::sleep"];
/// tokio's `watch` wakes those who wait in a random order. Here one task waits, or the order means nothing.
const MAY_WATCH: &[&str] = &[
    "router/src/front/grpc/listener.rs",
    "router/src/handle.rs",
    "router/src/server.rs",
    "router/src/state.rs",
    "worker-sim/src/answer.rs",
    "worker-sim/src/command.rs",
    "worker-sim/src/driver.rs",
    "worker-sim/src/submit.rs",
];

/// The lines that are compiled into a service, without comments.
fn code(text: &str) -> Vec<&str> {
    let tests =
        text.find("#[cfg(test)]\nmod tests").or_else(|| text.find("#[cfg(test)]\npub mod tests"));
    let text = &text[..tests.unwrap_or(text.len())];
    text.lines().map(|line| line.split("//").next().unwrap_or(line).trim()).collect()
}

fn offences(file: &str, text: &str) -> Vec<String> {
    let code: Vec<_> = code(text).into_iter().filter(|line| !line.is_empty()).collect();
    let mut found = Vec::new();
    for (i, line) in code.iter().enumerate() {
        let clock = CLOCKS.iter().any(|clock| line.contains(clock));
        if clock && file != CLOCK {
            found.push(format!("{file}: `{line}`, expected warmpath_proto::clock"));
        }
        if line.contains("select! {") && code.get(i + 1) != Some(&"biased;") {
            found.push(format!("{file}: `{line}` chooses at random, expected `biased;`"));
        }
        let watch =
            line.contains("sync::watch") || line.contains("sync::{") && line.contains("watch");
        if watch && !MAY_WATCH.contains(&file) {
            found.push(format!("{file}: `{line}`, expected warmpath_proto::watched"));
        }
    }
    found
}

fn files() -> Vec<PathBuf> {
    SERVICES.iter().flat_map(|service| rust_files(&root().join(service).join("src"))).collect()
}

#[test]
fn the_services_can_be_repeated() {
    let all =
        files().iter().flat_map(|file| offences(&shown(file), &read(file))).collect::<Vec<_>>();
    assert!(all.is_empty(), "{all:#?}");
    let reads =
        code(&read(&root().join(CLOCK))).iter().any(|line| line.contains("SystemTime::now"));
    assert!(reads, "the clock is not where this looks for it");
    for file in MAY_WATCH {
        assert!(read(&root().join(file)).contains("watch"), "{file} need not be here");
    }
}

#[test]
fn what_differs_from_run_to_run_is_found() {
    for planted in [
        "let at = Instant::now();",
        "let date = SystemTime::now();",
        "let took = begun.elapsed();",
        "tokio::select! {\n    _ = a => {}\n}",
        "use tokio::sync::watch;",
        "use tokio::sync::{mpsc, watch};",
    ] {
        assert_eq!(offences("router/src/x.rs", planted).len(), 1, "{planted}");
    }
    let fine = "// Instant::now()\ntokio::select! {\n    // Why.\n    biased;\n}\n\
                #[cfg(test)]\nmod tests { fn f() { Instant::now(); } }";
    assert_eq!(offences("router/src/x.rs", fine), [""; 0]);
}
