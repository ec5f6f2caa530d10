//! Energy and cost of a simulated run.

use crate::economics::{Economics, Side};
use crate::setup::Setup;
use warmpath_sim::Outcome;

/// None: no prices are given, or a profile has no chips that could have one.
pub fn economics(setup: &Setup, outcome: &Outcome) -> Option<Economics> {
    let sheet = setup.prices.as_ref()?;
    let mut sides = Vec::new();
    let groups = if setup.is_device_only() { Vec::new() } else { setup.fleet.groups() };
    let mut first = 0;
    for group in &groups {
        let engines = &outcome.engines[first as usize..(first + group.workers) as usize];
        sides.push(Side {
            name: &group.name,
            profile: &group.profile,
            rates: sheet.cluster(group.profile.hardware()?),
            first,
            count: group.workers,
            engines,
            recorder: &outcome.recorder,
        });
        first += group.workers;
    }
    if let Some((devices, did)) = setup.devices.as_ref().zip(outcome.devices.as_ref()) {
        sides.push(Side {
            name: "devices",
            profile: &devices.profile,
            rates: sheet.device(devices.profile.hardware()?),
            first: 0,
            count: devices.count(did.engines.len()),
            engines: &did.engines,
            recorder: &did.recorder,
        });
    }
    let uses_pool = groups.iter().any(|group| group.profile.pool.is_some());
    let room = setup.pool.as_ref().filter(|_| uses_pool).map(|pool| pool.tokens);
    let tb = |tokens: u64| tokens as f64 * setup.fleet.profile().kv_bytes_per_token as f64 / 1e12;
    let span = outcome
        .devices
        .iter()
        .fold(outcome.recorder.span(), |span, devices| span.max(devices.recorder.span()));
    Some(Economics::of(&sides, room.map(tb), span, sheet))
}
