//! Reasons why the figures of a run cannot be used.

use crate::figures::covers;
use warmpath_core::report::Figures;

/// Largest mean lateness, as a share of the mean TTFT.
const LATENESS_LIMIT: f64 = 0.05;

/// A reason if more than 1 % of the requests failed, or if none was answered.
pub fn too_few(figures: &Figures) -> Option<String> {
    let Figures { offered, requests, errors, .. } = figures;
    match requests {
        _ if covers(figures) => None,
        0 => Some(format!("none of {offered} requests was answered, so there are no figures")),
        _ => Some(format!(
            "{errors} of {offered} requests failed, more than 1 %, so the figures cover {requests}"
        )),
    }
}

/// A reason if requests were sent too late, in model seconds.
pub fn too_late(lateness_s: f64, mean_ttft_s: f64) -> Option<String> {
    (lateness_s > LATENESS_LIMIT * mean_ttft_s).then(|| {
        format!(
            "requests were sent {:.1} ms late in model time, more than {} % of the mean TTFT of \
             {:.1} ms: lower --speedup, or give the machine more room",
            lateness_s * 1e3,
            LATENESS_LIMIT * 100.0,
            mean_ttft_s * 1e3
        )
    })
}
