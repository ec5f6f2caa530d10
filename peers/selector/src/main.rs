//! Prints how often the rule `dynamo` and the crate's selector agree: `peers-selector [STATES] [SEED]`.

use peers_selector::compare::{Comparison, Look};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let states = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let seed = arguments.next().map_or(Ok(1), |text| text.parse())?;
    for (look, name) in [(Look::Reusable, "reusable blocks"), (Look::Whole, "all full blocks")] {
        let outcome = Comparison { seed, states, look, ours: |settings| settings }.run();
        println!(
            "their index looks at {name}: {} of {} agree; {} with two workers and more, {} with equal \
             least costs, {} disagreements unexplained",
            outcome.agreed, outcome.states, outcome.with_choice, outcome.tied, outcome.unexplained
        );
        for disagreement in outcome.disagreements.iter().take(3) {
            print!("{disagreement}");
        }
    }
    Ok(())
}
