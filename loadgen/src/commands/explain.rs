//! `loadgen explain`: why a running router chose a worker for a request.

use crate::files::check_target;
use crate::report::Screen;
use anyhow::{Result, anyhow};
use clap::builder::NonEmptyStringValueParser;
use std::process::ExitCode;
use warmpath_proto::v1::ExplainRequest;
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::{status, transport};
use warmpath_router::answers::explanation;

/// Prints why a running router chose a worker for a request
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, with the admin listener of the router on port 50052:
  loadgen explain --target http://127.0.0.1:50052 lg-7-12")]
pub struct Args {
    /// Address of the router's admin listener: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    target: String,
    /// Id of the request: the client's, or the one in the router's header x-warmpath-request-id
    #[arg(value_name = "REQUEST_ID", value_parser = NonEmptyStringValueParser::new())]
    request_id: String,
    /// Name of the tenant that sent it; needed if several tenants used the id
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    tenant: String,
}

pub fn run(args: Args, screen: Screen) -> Result<ExitCode> {
    let Args { target, request_id, tenant } = args;
    check_target(&target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        let channel = transport::channel(&target)?;
        let mut client = RouterAdminClient::new(channel)
            .max_decoding_message_size(transport::MAX_GENERATE_BYTES);
        let about = Some(About::RequestId(request_id));
        let request = ExplainRequest { about, tenant };
        let answer = client.explain(request).await;
        answer.map_err(|status| anyhow!("{target}: {}", status::of_admin(&status)))
    })?;
    screen.show(&explanation(answer.get_ref()));
    Ok(ExitCode::SUCCESS)
}

fn receipt(answer: &ExplainResponse) -> String {
    let ExplainResponse { request_id, number, policy, rule, prompt_tokens, chosen, .. } = answer;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["candidate", "queue s", "prefill s", "load s", "total s", "overlap"];
    // The column for peer fetches stands there only if a candidate would make one.
    let pulls = answer.candidates.iter().any(|candidate| candidate.pull.is_some());
    header.extend(pulls.then_some("pull"));
    table.add_row(header);
    for candidate in &answer.candidates {
        let pull = candidate.pull.as_ref().filter(|_| pulls);
        let pull = pull.map(|pull| format!("{} of {}", pull.blocks, pull.from));
        table.add_row(row(candidate).into_iter().chain(pull));
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if i >= 1 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    let margin = match (answer.runner_up, answer.margin_s) {
        (Some(second), Some(0.0)) => format!(
            "\nw{chosen}, in a tie with the runner-up w{second}: the worker with fewer active requests \
             wins, then one at random.\n"
        ),
        (Some(second), Some(margin)) => {
            format!("\nw{chosen}, {margin:.6} s before the runner-up w{second}.\n")
        }
        _ if answer.candidates.len() == 1 => format!("\nw{chosen}, the only candidate.\n"),
        _ => format!("\nw{chosen}, by a rule that compares no times.\n"),
    };
    let answers = match answer.decode {
        Some(decode) => format!("It computes the prompt, and w{decode} the answer.\n"),
        None => String::new(),
    };
    format!(
        "{request_id} (r{number}), {prompt_tokens} prompt tokens, by {policy}: {rule}\n\n{}\n{margin}{answers}",
        lines.join("\n")
    )
}

/// The cells of a candidate. Overlap is in blocks: HBM, then each further tier after a plus.
fn row(candidate: &Candidate) -> Vec<String> {
    let mut row = vec![format!("w{}", candidate.number)];
    match &candidate.terms {
        Some(t) => {
            let terms = [t.queue_s, t.prefill_s, t.load_s, t.total_s];
            row.extend(terms.map(|seconds| format!("{seconds:.6}")));
        }
        None => row.extend(["-"; 4].map(str::to_owned)),
    }
    let mut tiers = candidate.overlap_by_tier.as_slice();
    while let [rest @ .., 0] = tiers
        && !rest.is_empty()
    {
        tiers = rest;
    }
    row.push(match tiers {
        [] => "-".to_owned(),
        tiers => tiers.iter().map(u32::to_string).collect::<Vec<_>>().join("+"),
    });
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_proto::v1::Terms;

    #[test]
    fn a_receipt_names_the_runner_up_and_the_margin() {
        let candidate = |number, queue_s, overlap_by_tier: [u32; 4]| Candidate {
            number,
            active_requests: 1,
            overlap_by_tier: overlap_by_tier.to_vec(),
            terms: Some(Terms { queue_s, prefill_s: 0.5, load_s: 0.0, total_s: queue_s + 0.5 }),
            pull: None,
        };
        let mut answer = ExplainResponse {
            request_id: "a".to_owned(),
            number: 7,
            policy: "kv-aware".to_owned(),
            rule: "The least.".to_owned(),
            prompt_tokens: 320,
            chosen: 1,
            candidates: vec![candidate(1, 0.25, [12, 3, 0, 0]), candidate(0, 2.0, [0; 4])],
            runner_up: Some(0),
            margin_s: Some(1.75),
            ..Default::default()
        };
        let text = receipt(&answer);
        assert!(text.starts_with("a (r7), 320 prompt tokens, by kv-aware: The least.\n\n"));
        let lines: Vec<_> = text.lines().skip(3).collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>().join(" "),
            "w1 0.250000 0.500000 0.000000 0.750000 12+3"
        );
        assert!(lines[1].ends_with("2.500000        0"), "{text}");
        assert!(text.ends_with("w1, 1.750000 s before the runner-up w0.\n"), "{text}");
        for candidate in &mut answer.candidates {
            (candidate.terms, candidate.overlap_by_tier) = (None, Vec::new());
        }
        (answer.runner_up, answer.margin_s) = (None, None);
        assert!(receipt(&answer).ends_with("w1, by a rule that compares no times.\n"));
        answer.decode = Some(4);
        assert!(receipt(&answer).ends_with("\nIt computes the prompt, and w4 the answer.\n"));
    }
}
