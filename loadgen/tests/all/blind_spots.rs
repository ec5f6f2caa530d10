//! Loads on which a rule that counts prefill work alone lost to rules that know nothing: it moved
//! sessions off the workers that hold them, or packed requests on few workers. The house rule must not.

use crate::common::blind_spots::loses_to_none;

#[test]
fn long_sessions_stay_where_they_are() {
    for hbm in [&[][..], &["--hbm-tokens", "80000"]] {
        loses_to_none(&[&["--workload", "research-agents", "--workers", "16"], hbm].concat());
    }
}

#[test]
fn a_fleet_of_64_is_not_packed() {
    for (workload, rate) in
        [("assistant", "4"), ("assistant", "12"), ("chat", "4"), ("enterprise-kb", "4")]
    {
        loses_to_none(&["--workload", workload, "--rates", rate, "--workers", "64"]);
    }
}

#[test]
fn a_thousand_workers_with_little_to_do() {
    loses_to_none(&["--workload", "chat", "--rates", "64", "--workers", "1024"]);
}
