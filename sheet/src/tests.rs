//! A sheet as data: CSV, JSON, views and the legend.

use crate::column::Column;
use crate::form::Form;
use crate::format::{Format, Style};
use crate::legend::legend;
use crate::render::{csv, json, text};
use crate::sheet::Sheet;
use crate::value::Value;

fn sheet() -> Sheet {
    let mut sheet = Sheet::new(
        "Runs",
        vec![
            Column::text("policy", "policy", "The routing policy."),
            Column::text("variant", "variant", "The variant of the scenario."),
            Column::number(
                "hit_rate",
                "hit %",
                "share",
                "Cached prompt tokens / all prompt tokens.",
            )
            .format(Format::percent(1)),
            Column::number("ttft_mean_s", "mean", "s", "Mean time to first token.")
                .under("TTFT s")
                .format(Format::of(Style::Seconds))
                .interval(),
            Column::number("usd", "USD", "USD", "What it costs.")
                .format(Format::of(Style::Amount))
                .band(),
            Column::number("router_s", "router µs", "s", "Time in the router.")
                .format(Format::digits(0).scaled(1e6, "µs"))
                .pair(["p50", "p99"]),
            Column::number("errors", "failed", "requests", "Requests that failed."),
            Column::text("valid", "valid", "Whether the run can be believed."),
        ],
    );
    sheet.push([
        "kv-aware".into(),
        "with, comma and \"quotes\"".into(),
        (1.0 / 3.0).into(),
        Value::Interval { mean: 0.5, half: Some(0.1) },
        Value::band(1.0, 2.5),
        Value::Pair(12e-6, 40e-6),
        3_u64.into(),
        true.into(),
    ]);
    sheet.begin_group();
    sheet.push([
        "round-robin".into(),
        Value::Blank,
        f64::NAN.into(),
        Value::Interval { mean: 0.5, half: None },
        Value::band(None, 3.0),
        None::<f64>.into(),
        0_u32.into(),
        false.into(),
    ]);
    sheet.note("A note.");
    sheet
}

#[test]
fn a_form_makes_columns_and_rows() {
    let form = Form::new([
        Column::text("name", "name", "A name.").of(|row: &(&'static str, u64)| row.0),
        Column::number("count", "count", "things", "How many.")
            .of(|row: &(&'static str, u64)| row.1),
    ]);
    let mut sheet = form.sheet("Things");
    sheet.push(form.row(&("one", 1)));
    assert_eq!(csv(&sheet), "name,count\none,1\n");
}

#[test]
fn csv_has_full_precision_and_nothing_where_nothing_is_known() {
    assert_eq!(
        csv(&sheet()),
        "policy,variant,hit_rate,ttft_mean_s,ttft_mean_s_half_width_95,usd_low,usd_high,router_s_p50,router_s_p99,\
         errors,valid\n\
         kv-aware,\"with, comma and \"\"quotes\"\"\",0.3333333333333333,0.5,0.1,1,2.5,0.000012,0.00004,3,true\n\
         round-robin,,,0.5,,,3,,,0,false\n"
    );
}

#[test]
fn json_has_the_columns_and_rows_by_key() {
    let read: serde_json::Value = serde_json::from_str(&json(&sheet())).unwrap();
    assert_eq!(read["title"], "Runs");
    assert_eq!(read["notes"], serde_json::json!(["A note."]));
    let column = &read["columns"][3];
    assert_eq!(
        column,
        &serde_json::json!({
            "key": "ttft_mean_s", "heading": "TTFT s mean", "unit": "s",
            "meaning": "Mean time to first token."
        })
    );
    assert_eq!(
        read["rows"],
        serde_json::json!([
            {
                "policy": "kv-aware", "variant": "with, comma and \"quotes\"", "hit_rate": 1.0 / 3.0,
                "ttft_mean_s": {"mean": 0.5, "half_width_95": 0.1}, "usd": {"low": 1.0, "high": 2.5},
                "router_s": {"p50": 12e-6, "p99": 40e-6}, "errors": 3, "valid": true
            },
            {
                "policy": "round-robin", "variant": null, "hit_rate": null,
                "ttft_mean_s": {"mean": 0.5, "half_width_95": null}, "usd": {"low": null, "high": 3.0},
                "router_s": null, "errors": 0, "valid": false
            }
        ])
    );
    // Members stand in the order of the columns.
    let text = json(&sheet());
    assert!(text.find("\"policy\":").unwrap() < text.find("\"errors\":").unwrap(), "{text}");
}

#[test]
fn a_view_has_some_columns_in_an_order_of_its_own() {
    let view = sheet().pick(["hit_rate", "policy"]);
    assert_eq!(csv(&view), "hit_rate,policy\n0.3333333333333333,kv-aware\n,round-robin\n");
    assert_eq!(
        text(&view, 80),
        "Runs\n\nhit %  policy\n 33.3  kv-aware\n\n    -  round-robin\n\nA note.\n"
    );
}

#[test]
#[should_panic(expected = "\"Runs\" has no column nothing")]
fn a_view_of_a_column_that_is_missing_is_a_fault() {
    sheet().pick(["nothing"]);
}

#[test]
#[should_panic(expected = "two columns have the key a")]
fn a_key_names_one_column() {
    Sheet::new("", vec![Column::text("a", "a", "A."), Column::text("a", "b", "B.")]);
}

#[test]
#[should_panic(expected = "in the column a")]
fn a_value_has_the_shape_of_its_column() {
    let mut sheet = Sheet::new("", vec![Column::number("a", "a", "s", "A.")]);
    sheet.push([Value::Pair(1.0, 2.0)]);
}

#[test]
fn the_legend_says_what_each_column_means() {
    let legend = legend(&sheet());
    assert_eq!(
        text(&legend, 80),
        "\
Runs

                       in CSV and JSON
column       unit      key                           meaning
policy                 policy                        The routing policy.
variant                variant                       The variant of the
                                                     scenario.
hit %        %         hit_rate                      Cached prompt tokens / all
                                                     prompt tokens.
TTFT s mean  s         ttft_mean_s                   Mean time to first token.
                       ttft_mean_s_half_width_95
USD          USD       usd_low usd_high              What it costs.
router µs    µs        router_s_p50 router_s_p99     Time in the router.
failed       requests  errors                        Requests that failed.
valid                  valid                         Whether the run can be
                                                     believed.

Left out at 80 columns: in CSV and JSON unit. --width 113 shows all.
"
    );
    let wide = text(&legend, 130);
    let router = wide.lines().find(|line| line.starts_with("router µs")).unwrap();
    let cells: Vec<&str> =
        router.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells, ["router µs", "µs", "router_s_p50 router_s_p99", "s", "Time in the router."]);
}
