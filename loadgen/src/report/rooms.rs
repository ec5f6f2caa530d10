//! How the figures at a load move with the workers' room for KV.

use super::columns;
use crate::figures::{AtRoom, Capacity, label};
use warmpath_sheet::{Column, Form, Format, Sheet, Style};

/// A room, and what was run in it.
type Line = (String, AtRoom);

/// Three rows for each policy that has a capacity.
pub fn sheet(capacities: &[Capacity]) -> Sheet {
    let rows = capacities.iter().flat_map(|capacity| {
        let name = label(Some(&capacity.policy), capacity.variant.as_deref());
        capacity.kv_room.iter().map(move |&room| (name.clone(), room))
    });
    of("At the capacity, with other room for KV", "policy", rows)
}

/// A row for each room. `of` is what the first column names.
pub fn of(title: &str, of: &'static str, rows: impl IntoIterator<Item = Line>) -> Sheet {
    let form = form(of);
    let mut sheet = form.sheet(title).labels(2);
    rows.into_iter().for_each(|row| sheet.push(form.row(&row)));
    if !sheet.is_empty() {
        sheet.note("KV room: the change of each worker's room for KV; the load stays the same.");
    }
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form("policy").sheet("At the capacity, with other room for KV")
}

fn form(of: &'static str) -> Form<'static, Line> {
    let room = "The change of each worker's room for KV.";
    let goodput = "Requests a second that kept the SLO.";
    Form::new([
        Column::text("of", of, "What was run.").of(|(name, _): &Line| name.clone()),
        Column::number("kv_room_change", "KV room", "%", room)
            .format(Format::of(Style::Signed(0)).suffix(" %"))
            .of(|(_, at): &Line| (at.kv_room - 1.0) * 100.0),
        columns::hit_rate().of(|(_, at): &Line| at.hit_rate),
        columns::ttft_p90().of(|(_, at): &Line| at.ttft_p90_s),
        Column::number("goodput_requests_per_s", "good/s", "requests/s", goodput)
            .format(Format::digits(2))
            .of(|(_, at): &Line| at.goodput_requests_per_s),
        columns::within_slo().of(|(_, at): &Line| at.within_slo),
    ])
}
