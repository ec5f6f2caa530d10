//! Other routers before the fleet, as a table.

use warmpath_proto::v1::{ListSiblingsResponse, Sibling};
use warmpath_sheet::{Column, Page, Sheet, Value};

/// What is shared and with how many, and a row for each sibling.
pub fn siblings(answer: &ListSiblingsResponse) -> Page {
    let ListSiblingsResponse { share, siblings, followers, news_told } = answer;
    let mut page = Page::default();
    page.prose([format!(
        "shares {share}; routers that follow this one: {followers}; news to tell: {news_told}"
    )]);
    if !siblings.is_empty() {
        page.sheet(sheet(siblings));
    }
    page
}

fn sheet(siblings: &[Sibling]) -> Sheet {
    let (text, number) = (Column::text, Column::number);
    let mut sheet = Sheet::new(
        "",
        vec![
            text("address", "address", "Where it was found."),
            text("state", "state", "Whether its news come, and if not, what became of it."),
            number("under_way", "under way", "requests", "Its requests that have not ended."),
            number(
                "elsewhere",
                "elsewhere",
                "requests",
                "Those of them whose worker is not in this router's fleet.",
            ),
            number("news", "news", "news", "News that came from it."),
            number(
                "gaps",
                "gaps",
                "times",
                "How often it was followed anew, since news were missing or could not be read.",
            ),
            text("names", "names", "Whether it names blocks as this router does; else \"others\"."),
            text("url", "url", "Where it was looked for."),
            text("why", "why", "Why it is in that state.").wraps(),
        ],
    )
    .dropping();
    for sibling in siblings {
        let address = [&sibling.address, &sibling.url];
        let address = address.into_iter().find(|at| !at.is_empty());
        let names = match (sibling.epoch, sibling.same_names) {
            (None, _) => "",
            (Some(_), true) => "same",
            (Some(_), false) => "others",
        };
        sheet.push(vec![
            Value::text_or_blank(address.cloned().unwrap_or_default()),
            sibling.standing.as_str().into(),
            sibling.under_way.into(),
            sibling.elsewhere.into(),
            sibling.news.into(),
            sibling.gaps.into(),
            Value::text_or_blank(names.to_owned()),
            sibling.url.as_str().into(),
            Value::text_or_blank(sibling.why.clone()),
        ]);
    }
    sheet
}
