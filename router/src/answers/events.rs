//! What happened to the fleet lately, as a table.

use warmpath_proto::v1::FleetEvent;
use warmpath_sheet::{Column, Format, Sheet, Value};

/// A row for each event, the oldest first.
pub fn events(events: &[FleetEvent]) -> Sheet {
    let text = Column::text;
    let mut sheet = Sheet::new(
        "",
        vec![
            Column::number("ago_s", "ago s", "s", "How long ago it was, in seconds of the clock.")
                .format(Format::digits(1)),
            text("what", "what", "What happened."),
            text("worker", "worker", "The worker's number."),
            text("name", "name", "The name that the worker gives itself."),
            text("detail", "detail", "The reason, or what was set.").wraps(),
        ],
    );
    for event in events {
        sheet.push(vec![
            (event.ago_ms as f64 / 1e3).into(),
            event.what.as_str().into(),
            Value::text_or_blank(event.worker.clone()),
            Value::text_or_blank(event.name.clone()),
            Value::text_or_blank(event.detail.clone()),
        ]);
    }
    sheet
}
