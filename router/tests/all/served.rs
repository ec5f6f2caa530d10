//! What the router measures of its decisions and of its clients' waits, as Prometheus reads it.

use crate::binary::{Running, free_port, page_with};
use crate::common::{SPEEDUP, TestWorker, ask, client, prompt, request, worker_config};

/// Answers to prompts of 330 tokens, 20 blocks that can be found, one after the other. The index has a prompt's
/// blocks before the next prompt is sent. Returns the metrics.
fn serve(policy: &str, prompts: &[u64]) -> String {
    let workers = [(); 2].map(|()| TestWorker::start(worker_config()));
    let [first, second] = workers.each_ref().map(TestWorker::url);
    let (folder, metrics, listen) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let speedup = SPEEDUP.to_string();
    let mut args = vec!["--listen", &listen, "--metrics-listen", &metrics, "--speedup", &speedup];
    args.extend(["--worker", &first, "--worker", &second]);
    let _running = Running::with(folder.path(), policy, &args);
    for worker in ["w0", "w1"] {
        let takes = "warmpath_router_worker_takes_requests";
        page_with(&metrics, &format!("{takes}{{worker=\"{worker}\"}} 1\n"));
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for &seed in prompts {
        let worker = runtime.block_on(async {
            let client = client(&format!("http://{listen}"));
            ask(client, request(prompt(seed, 330), 3)).await.expect("an answer").1
        });
        page_with(
            &metrics,
            &format!("warmpath_router_kv_event_batches_total{{worker=\"{worker}\""),
        );
    }
    page_with(
        &metrics,
        &format!("warmpath_router_e2e_seconds_count{{policy=\"{policy}\"}} {}\n", prompts.len()),
    )
}

fn has(page: &str, name: &str, label: &str, value: u32) {
    let line = format!("\nwarmpath_router_{name}{{{label}}} {value}\n");
    assert!(page.contains(&line), "no {line:?} in {page}");
}

/// All series of a metric are there, and 0.
fn assert_zero(page: &str, name: &str) {
    let start = format!("warmpath_router_{name}{{");
    let lines = page.lines().filter(|line| line.starts_with(&start));
    let values: Vec<_> = lines.map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert!(!values.is_empty() && values.iter().all(|value| *value == "0"), "{name}: {page}");
}

/// Round robin goes to the other worker with the same prompt, and comes back to the first one.
#[test]
fn a_choice_that_is_not_the_best_holder_is_counted_with_what_it_lost() {
    let page = serve("round-robin", &[1, 1, 1]);
    let policy = "policy=\"round-robin\"";
    has(&page, "decisions_total", policy, 3);
    has(&page, "decisions_not_best_holder_total", policy, 1);
    has(&page, "prompt_blocks_total", policy, 60);
    has(&page, "lost_blocks_total", policy, 20);
    has(&page, "ttft_seconds_count", policy, 3);
    assert_zero(&page, "overlap_blocks_total");
    assert_zero(&page, "found_not_expected_blocks_total");
}

#[test]
fn a_rule_that_looks_loses_nothing_and_finds_what_it_expects() {
    let page = serve("kv-aware", &[1, 1, 2]);
    let policy = "policy=\"kv-aware\"";
    has(&page, "decisions_total", policy, 3);
    has(&page, "decisions_not_best_holder_total", policy, 0);
    has(&page, "lost_blocks_total", policy, 0);
    assert_zero(&page, "expected_not_found_blocks_total");
    assert_zero(&page, "found_not_expected_blocks_total");
    // Three answers, and each client has its first token before its last one.
    let seconds = |name: &str| {
        let start = format!("warmpath_router_{name}_seconds_sum{{");
        let line = page.lines().find(|line| line.starts_with(&start)).expect(name);
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    // A prompt of 330 tokens takes 26.5 ms, of which two are computed.
    assert!(seconds("ttft") > 0.05 && seconds("e2e") > seconds("ttft"), "{page}");
}
