//! What tables look like, letter for letter.

use super::{page, text};
use crate::column::Column;
use crate::format::{Format, Style};
use crate::page::Page;
use crate::sheet::Sheet;
use crate::value::Value;

fn seconds(key: &'static str, heading: &'static str) -> Column {
    Column::number(key, heading, "s", "Seconds.").format(Format::of(Style::Seconds))
}

/// A main table: 14 columns, two groups of rows.
fn runs() -> Sheet {
    let count = |key, heading, unit| Column::number(key, heading, unit, "A count.");
    let big = Format::of(Style::Si);
    let mut sheet = Sheet::new(
        "assistant, 16 workers, seed 1",
        vec![
            Column::text("policy", "policy", "The routing policy."),
            Column::text("mode", "mode", "How it was run."),
            Column::number("hit_rate", "%", "share", "Cached share.")
                .under("hit")
                .format(Format::percent(1)),
            count("computed", "computed", "tokens").under("prefill tokens").format(big),
            count("cached", "cached", "tokens").under("prefill tokens").format(big),
            seconds("ttft_mean_s", "mean").under("TTFT s"),
            seconds("ttft_p50_s", "p50").under("TTFT s"),
            seconds("ttft_p90_s", "p90").under("TTFT s"),
            seconds("ttft_p99_s", "p99").under("TTFT s"),
            Column::number("tpot_mean_s", "ms", "s", "Seconds.")
                .under("TPOT")
                .format(Format::milliseconds(1)),
            count("requests_per_s", "/s", "requests/s").under("requests").format(Format::digits(2)),
            count("input", "in", "tokens/s").under("tokens/s").format(big),
            count("output", "out", "tokens/s").under("tokens/s").format(big),
            Column::number("overhead_s", "p50/p99", "s", "Time in the router.")
                .under("router µs")
                .format(Format::digits(0).scaled(1e6, "µs"))
                .pair(["p50", "p99"]),
        ],
    )
    .labels(2);
    let row = |policy: &str, mode: &str, hit: f64, ttft: f64, overhead: Value| -> Vec<Value> {
        let rest = [2_898.0, 7.251, 25_100.0, 3_100.0].map(Value::Number);
        let [_, rps, input, output] = rest;
        let ttfts = [1.0, 0.8, 2.0, 30.0].map(|times| Value::Number(ttft * times));
        let first = [policy.into(), mode.into(), hit.into(), 4_141_000_u64.into(), 999_u64.into()];
        let last = [Value::Number(0.0121), rps, input, output, overhead];
        first.into_iter().chain(ttfts).chain(last).collect()
    };
    sheet.push(row("round-robin", "live", 0.297, 0.52, Value::Pair(12e-6, 40e-6)));
    sheet.push(row("kv-aware", "live", 0.512, 0.31, Value::Pair(14e-6, 41e-6)));
    sheet.begin_group();
    sheet.push(row("round-robin", "sim", 0.299, 0.5, Value::Absent));
    sheet.push(row("kv-aware", "sim", 0.514, 0.3, Value::Blank));
    sheet.note("Within the SLO (good): TTFT up to 2 s and TPOT up to 50 ms.");
    sheet
}

const WHOLE: &str = "\
assistant, 16 workers, seed 1

                    hit  prefill tokens    TTFT s                      TPOT  requests  tokens/s     router µs
policy       mode     %  computed  cached   mean    p50    p90    p99    ms        /s     in   out    p50/p99
round-robin  live  29.7      4.1M     999  0.520  0.416  1.040   15.6  12.1      7.25  25.1k  3.1k      12/40
kv-aware     live  51.2      4.1M     999  0.310  0.248  0.620  9.300  12.1      7.25  25.1k  3.1k      14/41

round-robin  sim   29.9      4.1M     999  0.500  0.400  1.000   15.0  12.1      7.25  25.1k  3.1k          -
kv-aware     sim   51.4      4.1M     999  0.300  0.240  0.600  9.000  12.1      7.25  25.1k  3.1k

Within the SLO (good): TTFT up to 2 s and TPOT up to 50 ms.
";

#[test]
fn a_table_that_fits_is_whole() {
    assert_eq!(text(&runs(), 120), WHOLE);
    assert_eq!(text(&runs(), 200), WHOLE);
}

#[test]
fn columns_stand_closer_before_a_table_is_broken() {
    let tight = text(&runs(), 96);
    let second = tight.lines().nth(3).unwrap();
    assert_eq!(
        second,
        "policy      mode    % computed cached  mean   p50   p90   p99   ms       /s    in  out   p50/p99"
    );
}

#[test]
fn at_80_columns_it_is_two_tables_that_both_name_the_rows() {
    assert_eq!(
        text(&runs(), 80),
        "\
assistant, 16 workers, seed 1

                    hit  prefill tokens    TTFT s
policy       mode     %  computed  cached   mean    p50    p90    p99
round-robin  live  29.7      4.1M     999  0.520  0.416  1.040   15.6
kv-aware     live  51.2      4.1M     999  0.310  0.248  0.620  9.300

round-robin  sim   29.9      4.1M     999  0.500  0.400  1.000   15.0
kv-aware     sim   51.4      4.1M     999  0.300  0.240  0.600  9.000

                   TPOT  requests  tokens/s     router µs
policy       mode    ms        /s     in   out    p50/p99
round-robin  live  12.1      7.25  25.1k  3.1k      12/40
kv-aware     live  12.1      7.25  25.1k  3.1k      14/41

round-robin  sim   12.1      7.25  25.1k  3.1k          -
kv-aware     sim   12.1      7.25  25.1k  3.1k

Within the SLO (good): TTFT up to 2 s and TPOT up to 50 ms.
"
    );
}

/// A list of workers, of which some columns matter less.
fn workers() -> Sheet {
    let mut sheet = Sheet::new(
        "",
        vec![
            Column::text("worker", "worker", "Its number."),
            Column::text("state", "state", "How it stands."),
            Column::number("active", "active", "requests", "Its requests."),
            Column::number("blocks", "blocks", "blocks", "What it holds.").rank(2),
            Column::text("model", "model", "What it serves.").rank(3),
            Column::text("url", "url", "Where it is.").rank(1),
            Column::text("why", "why", "Why it is not serving.").wraps(),
        ],
    )
    .dropping();
    let why = "its feed has been silent for 2 s, so the router sends it no new requests until it answers again";
    let model = "meta-llama/Llama-3.3-70B-Instruct";
    let row = |worker: &str, state: &str, why: &str| -> Vec<Value> {
        vec![
            worker.into(),
            state.into(),
            3_u32.into(),
            20_480_u64.into(),
            model.into(),
            "http://10.0.0.1:9000".into(),
            Value::text_or_blank(why),
        ]
    };
    sheet.push(row("w0", "ready", ""));
    sheet.push(row("w10", "lost", why));
    sheet
}

#[test]
fn columns_are_dropped_by_rank_and_named() {
    assert_eq!(
        text(&workers(), 80),
        "\
worker  state  active  blocks  url                   why
w0      ready       3   20480  http://10.0.0.1:9000
w10     lost        3   20480  http://10.0.0.1:9000  its feed has been silent
                                                     for 2 s, so the router
                                                     sends it no new requests
                                                     until it answers again

Left out at 80 columns: model. --width 183 shows all.
"
    );
    assert_eq!(
        text(&workers(), 60),
        "\
worker  state  active  why
w0      ready       3
w10     lost        3  its feed has been silent for 2 s, so
                       the router sends it no new requests
                       until it answers again

Left out at 60 columns: blocks, model, url. --width 183
shows all.
"
    );
}

#[test]
fn at_200_columns_nothing_is_dropped_or_wrapped() {
    let whole = text(&workers(), 200);
    assert_eq!(
        whole,
        "\
worker  state  active  blocks  model                              url                   why
w0      ready       3   20480  meta-llama/Llama-3.3-70B-Instruct  http://10.0.0.1:9000
w10     lost        3   20480  meta-llama/Llama-3.3-70B-Instruct  http://10.0.0.1:9000  its feed has been silent \
for 2 s, so the router sends it no new requests until it answers again
"
    );
    let longest = whole.lines().map(|line| line.chars().count()).max();
    assert_eq!(longest, Some(183), "the width that the narrow table named");
    assert_eq!(text(&workers(), 183), whole);
    assert_ne!(text(&workers(), 182), whole);
}

#[test]
fn letters_of_two_columns_line_up() {
    let columns = vec![
        Column::text("name", "name", "A name."),
        Column::number("count", "count", "things", "How many."),
    ];
    let mut sheet = Sheet::new("", columns);
    sheet.push(["日本".into(), 5_u64.into()]);
    sheet.push(["ab".into(), 10_u64.into()]);
    assert_eq!(text(&sheet, 80), "name  count\n日本      5\nab       10\n");
}

#[test]
fn a_page_has_blank_lines_between_its_parts() {
    let mut sheet = Sheet::new("A title", vec![Column::text("a", "a", "A.")]);
    let mut whole = Page::default();
    whole.prose(["One line."]);
    whole.sheet(sheet.clone());
    assert_eq!(page(&whole, 80), "One line.\n", "a sheet without rows is not shown");
    sheet.push(["x".into()]);
    whole.sheet(sheet);
    whole.prose(["- first", "- second"]);
    assert_eq!(page(&whole, 80), "One line.\n\nA title\n\na\nx\n\n- first\n- second\n");
}
