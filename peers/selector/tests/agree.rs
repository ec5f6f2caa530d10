//! The rule `dynamo` chooses as the crate does.

use peers_selector::compare::{Comparison, Look, Outcome};
use peers_selector::fleet::Settings;

fn compared(states: usize, look: Look, ours: fn(Settings) -> Settings) -> Outcome {
    Comparison { seed: 1, states, look, ours }.run()
}

fn shown(outcome: &Outcome) -> String {
    outcome.disagreements.iter().take(3).map(ToString::to_string).collect()
}

#[test]
fn both_choose_the_same_worker_in_ten_thousand_states() {
    let outcome = compared(10_000, Look::Reusable, |settings| settings);
    assert_eq!((outcome.states, outcome.agreed), (10_000, 10_000), "{}", shown(&outcome));
    // It says something only where there is a choice, and the least cost is one worker's.
    assert!(outcome.with_choice > 9_000, "{}", outcome.with_choice);
    assert!(outcome.tied < 5_000, "{}", outcome.tied);
}

/// Their index also finds the last block of a prompt of full blocks. Ours does not, as no request may
/// reuse it.
#[test]
fn they_differ_only_where_a_prompt_is_cached_whole() {
    let outcome = compared(10_000, Look::Whole, |settings| settings);
    assert!(outcome.agreed > 9_800, "{}\n{}", outcome.agreed, shown(&outcome));
    assert_eq!(outcome.unexplained, 0, "{}", shown(&outcome));
}

/// A comparison that finds no fault is worth nothing.
#[test]
fn planted_faults_are_found() {
    let faults: [fn(Settings) -> Settings; 6] = [
        |settings| Settings { overlap: settings.overlap * 1.1, ..settings },
        |settings| Settings { decay: settings.decay * 1.2 + 0.1, ..settings },
        |settings| Settings { host: 1.0 - settings.host, ..settings },
        |settings| Settings { disk: 1.0 - settings.disk, ..settings },
        |settings| Settings { prefill: settings.prefill * 1.1, ..settings },
        |settings| Settings { request: settings.request + 0.5, ..settings },
    ];
    for (i, fault) in faults.into_iter().enumerate() {
        let outcome = compared(10_000, Look::Reusable, fault);
        let found = outcome.disagreements.len();
        println!("fault {i}: {found} of {}", outcome.states);
        assert!(found > 0, "{i}: {found}");
    }
}
