//! What other rules would have done, as a table.

use warmpath_proto::v1::{ListShadowsResponse, Shadow};
use warmpath_sheet::{Column, Format, Page, Sheet};

/// The rule that decides, and a row for each rule beside it.
pub fn shadows(answer: &ListShadowsResponse) -> Page {
    let ListShadowsResponse { policy, shadows } = answer;
    let mut page = Page::default();
    if shadows.is_empty() {
        page.prose([format!("{policy} decides; no rule is asked beside it (--shadow RULE)")]);
        return page;
    }
    page.prose([format!(
        "{policy} decides; each rule below is asked about the same requests, in the same state of the fleet"
    )]);
    page.sheet(sheet(shadows));
    page
}

fn sheet(shadows: &[Shadow]) -> Sheet {
    let (text, number) = (Column::text, Column::number);
    let mut sheet = Sheet::new(
        "",
        vec![
            text("rule", "rule", "The rule that is asked."),
            number("asked", "asked", "requests", "Requests that it was asked about."),
            number("held", "held", "requests", "Requests that it would have held."),
            number(
                "same",
                "same %",
                "share",
                "Of the requests that it would have sent, those that it would have sent to the same worker.",
            )
            .format(Format::percent(1)),
            number(
                "hit_live",
                "live",
                "share",
                "Prompt tokens that the worker held which got the request, over the requests that both sent.",
            )
            .under("hit %")
            .format(Format::percent(1)),
            number(
                "hit_shadow",
                "shadow",
                "share",
                "The same of the worker that this rule would have chosen.",
            )
            .under("hit %")
            .format(Format::percent(1)),
            number(
                "ttft_live",
                "live",
                "s",
                "The mean expected time to the first token where the request went: its queue, loads and computing.",
            )
            .under("TTFT s")
            .format(Format::digits(3)),
            number(
                "ttft_shadow",
                "shadow",
                "s",
                "The same on the worker that this rule would have chosen.",
            )
            .under("TTFT s")
            .format(Format::digits(3)),
        ],
    )
    .dropping();
    for shadow in shadows {
        let sent = shadow.asked - shadow.held;
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        let mean = |sum: f64| (sent > 0).then(|| sum / sent as f64);
        sheet.push(vec![
            shadow.policy.as_str().into(),
            shadow.asked.into(),
            shadow.held.into(),
            share(shadow.same, sent).into(),
            share(shadow.live_hit_tokens, shadow.prompt_tokens).into(),
            share(shadow.shadow_hit_tokens, shadow.prompt_tokens).into(),
            mean(shadow.live_ttft_s).into(),
            mean(shadow.shadow_ttft_s).into(),
        ]);
    }
    sheet
}
