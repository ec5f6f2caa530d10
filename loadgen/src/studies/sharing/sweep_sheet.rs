//! The sweep: a row for each point.

use super::ratios::CLAIM;
use super::sweep::Point;
use crate::report::columns::percent;
use warmpath_sheet::{Column, Form, Format, Page, Sheet, Value};

const REMARK: &str = "remark";

/// What a person reads.
pub fn page(points: &[Point]) -> Page {
    let mut sheet = sheet(points);
    sheet.note(
        "Requests a second within the SLO of a fleet whose texts lie in HBM alone, and of one with a pool \
         that holds all of them; one axis at a time, the others as in the first row. Each text is asked \
         about 24 times; the first half is not counted. Where one or neither keeps the SLO at any load, the \
         last column says so.",
    );
    let mut page = Page::default();
    page.sheet(sheet);
    page
}

/// What programs read.
pub fn data(points: &[Point]) -> Sheet {
    let sheet = sheet(points);
    let keys = sheet.columns().iter().map(|column| column.key.to_string());
    let keys: Vec<String> = keys.filter(|key| key != REMARK).collect();
    sheet.pick(keys)
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Sharing: a row for each point of the sweep")
}

fn sheet(points: &[Point]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("").labels(6);
    let mut last = "";
    for point in points {
        if last != point.axis {
            sheet.begin_group();
        }
        last = point.axis;
        sheet.push(form.row(point));
    }
    sheet
}

fn form() -> Form<'static, Point> {
    let number = Column::number;
    let texts = "All texts over the HBM of all workers.";
    let times = "Requests a second with the pool divided by those without it.";
    // Of a load that there is none of, no hit rate is known.
    let hit = |served: f64, rate: Option<f64>| rate.filter(|_| served > 0.0);
    let rate = Format::digits(2);
    Form::new([
        Column::text("axis", "axis", "What is varied.").of(|point: &Point| point.axis),
        number("reused_share", "reused", "share", "Part of a prompt that is one of the texts.")
            .format(Format::percent(0).suffix(" %"))
            .of(|point: &Point| point.at.reused_share),
        number("prompt_tokens", "prompt", "tokens", "Length of a prompt.")
            .format(Format::digits(0))
            .of(|point: &Point| point.at.prompt_tokens),
        number("pool_gb_s", "pool GB/s", "GB/s", "Bandwidth from the pool to each worker.")
            .of(|point: &Point| point.at.gb_s),
        number("workers", "workers", "workers", "Workers in the fleet.")
            .of(|point: &Point| point.at.workers),
        number("working_set", "texts/HBM", "ratio", texts).of(|point: &Point| point.at.working_set),
        percent("hit_rate_without", "without", "The hit rate without the pool.")
            .under("hit %")
            .of(move |point: &Point| hit(point.without, point.hit_rate_without)),
        percent("hit_rate_with", "with", "The hit rate with the pool.")
            .under("hit %")
            .of(move |point: &Point| hit(point.with, point.hit_rate_with)),
        number(
            "requests_per_s_without",
            "without",
            "requests/s",
            "Requests a second within the SLO without the pool.",
        )
        .under("req/s")
        .format(rate)
        .of(|point: &Point| point.without),
        number(
            "requests_per_s_with",
            "with",
            "requests/s",
            "Requests a second within the SLO with the pool.",
        )
        .under("req/s")
        .format(rate)
        .of(|point: &Point| point.with),
        number("times", "times", "ratio", times).format(rate).interval().of(|point: &Point| {
            let interval = |times| Value::interval(times, point.times_half_width_95);
            point.times.map_or(Value::Absent, interval)
        }),
        Column::text(REMARK, "", "Whether the claim is reached, or what keeps the SLO at no load.")
            .of(remark),
    ])
}

fn remark(point: &Point) -> Value {
    match point.times {
        Some(_) if point.reaches(CLAIM) => format!("{CLAIM}x reached").into(),
        None if point.with > 0.0 => "only with the pool".into(),
        None => "neither".into(),
        Some(_) => Value::Blank,
    }
}
