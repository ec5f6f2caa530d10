use super::*;
use crate::config::tests::profile;
use warmpath_core::id::ORIGINS;
use warmpath_core::time::Duration as ModelDuration;

fn at(seconds: u64) -> Instant {
    Instant::START + ModelDuration::from_millis(1_000 * seconds)
}

/// What Prometheus reads after `requests`, from a worker whose blocks have 16 tokens.
fn page(requests: impl FnOnce(&mut WorkerMetrics)) -> String {
    let recorder = with_buckets(PrometheusBuilder::new()).unwrap().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe();
        let config = WorkerConfig { speedup: 20.0, ..WorkerConfig::new(profile()) };
        requests(&mut WorkerMetrics::new(&config));
    });
    recorder.handle().render()
}

/// The value of the only series whose line has all of these.
fn value(page: &str, parts: &[&str]) -> f64 {
    let mut lines = page.lines().filter(|line| {
        line.starts_with(&format!("{}{{", parts[0])) && parts.iter().all(|part| line.contains(part))
    });
    let line = lines.next().unwrap_or_else(|| panic!("no series {parts:?} in {page}"));
    assert_eq!(lines.next(), None, "several series {parts:?}");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn finished(id: RequestId, seconds: u64, hit: Hit, output_tokens: u32) -> Output {
    let cached_tokens = 16 * hit.iter().sum::<u32>();
    Output::Finished { id, at: at(seconds), cached_tokens, hit, output_tokens }
}

const NOTHING: Hit = [0; ORIGINS];

#[test]
fn an_answer_is_counted_by_vllms_names() {
    let page = page(|metrics| {
        let id = RequestId(1);
        metrics.submitted(id, at(0), 10, 5);
        metrics.output(&Output::FirstToken { id, at: at(1) }, |_| Some(NOTHING));
        // Two tokens in one second, none in the next one, two in the two seconds after it.
        metrics.progress(id, at(2), 3);
        metrics.progress(id, at(3), 3);
        metrics.output(&finished(id, 4, NOTHING, 5), |_| None);
        // An answer with one token has no time per token.
        let id = RequestId(2);
        metrics.submitted(id, at(4), 10, 1);
        metrics.output(&Output::FirstToken { id, at: at(5) }, |_| None);
        metrics.output(&finished(id, 5, NOTHING, 1), |_| None);
    });
    for name in [ITL, OLD_ITL] {
        assert_eq!(value(&page, &[&format!("{name}_sum")]), 3.0);
        assert_eq!(value(&page, &[&format!("{name}_count")]), 4.0);
    }
    assert_eq!(value(&page, &[&format!("{ITL}_bucket"), "le=\"0.5\""]), 2.0);
    assert!(page.contains(&format!("{SPEEDUP}{{model_name=\"simulated\",engine=")), "{page}");
    assert_eq!(value(&page, &[SPEEDUP]), 20.0);
    assert_eq!(value(&page, &[&format!("{TPOT}_sum")]), 0.75);
    assert_eq!(value(&page, &[&format!("{TPOT}_count")]), 1.0);
}

#[test]
fn every_metric_has_a_help_line_and_is_in_the_docs() {
    let page = page(|metrics| metrics.output(&finished(RequestId(1), 0, NOTHING, 1), |_| None));
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = name.split(' ').next().unwrap();
        assert!(page.contains(&format!("# HELP {name} ")), "no HELP for {name}");
        assert!(docs.contains(&format!("`{name}`")), "docs/metrics.md lacks {name}");
    }
}

/// Prompts of 40 tokens: blocks found in HBM, in the host's memory and at a peer; then one with nothing.
#[test]
fn the_sources_of_prompt_tokens_add_up_at_the_first_token_and_at_the_end() {
    let found: Hit = [1, 0, 0, 0, 0, 1];
    let sums = |page: &str| {
        let tokens =
            |name: &str, source: &str| value(page, &[name, &format!("source=\"{source}\"")]);
        let by_source = ["local_compute", "local_cache_hit", "external_kv_transfer"]
            .map(|source| tokens("vllm:prompt_tokens_by_source_total", source));
        let cached = ["device", "host", "disk", "p2p", "external_unspecified"]
            .map(|source| tokens("vllm:prompt_tokens_cached_by_source_total", source));
        let total = |name| value(page, &[name]);
        assert_eq!(by_source.iter().sum::<f64>(), total("vllm:prompt_tokens_total"));
        assert_eq!(cached.iter().sum::<f64>(), total("vllm:prompt_tokens_cached_total"));
        (by_source, cached)
    };
    let id = RequestId(1);
    let begin = |metrics: &mut WorkerMetrics| {
        metrics.submitted(id, at(0), 40, 3);
        metrics.output(&Output::Admitted { id, at: at(2), hit: found }, |_| Some(found));
        metrics.output(&Output::FirstToken { id, at: at(5) }, |_| Some(found));
    };
    let expected = ([8.0, 16.0, 16.0], [16.0, 0.0, 0.0, 16.0, 0.0]);
    assert_eq!(sums(&page(begin)), expected);
    let whole = page(|metrics| {
        begin(metrics);
        metrics.output(&finished(id, 9, found, 3), |_| None);
    });
    assert_eq!(sums(&whole), expected, "counted once");
    assert_eq!(value(&whole, &["vllm:prefix_cache_queries_total"]), 40.0);
    assert_eq!(value(&whole, &["vllm:prefix_cache_hits_total"]), 16.0);
    for (name, seconds) in [("queue", 2.0), ("prefill", 3.0), ("decode", 4.0), ("inference", 7.0)] {
        assert_eq!(value(&whole, &[&format!("vllm:request_{name}_time_seconds_sum")]), seconds);
    }
    assert_eq!(value(&whole, &["vllm:request_prompt_tokens_sum"]), 40.0);
    assert_eq!(value(&whole, &["vllm:request_prefill_kv_computed_tokens_sum"]), 8.0);
    for name in ["request_generation_tokens", "request_max_num_generation_tokens"] {
        assert_eq!(value(&whole, &[&format!("vllm:{name}_sum")]), 3.0);
    }
}

#[test]
fn what_a_prefill_worker_handed_over_came_from_outside() {
    let page = page(|metrics| {
        let id = RequestId(1);
        metrics.submitted(id, at(0), 40, 2);
        metrics.handed(id, 40);
        metrics.output(&Output::FirstToken { id, at: at(1) }, |_| Some(NOTHING));
    });
    let name = "vllm:prompt_tokens_by_source_total";
    assert_eq!(value(&page, &[name, "external_kv_transfer"]), 40.0);
    assert_eq!(value(&page, &[name, "local_compute"]), 0.0);
}
