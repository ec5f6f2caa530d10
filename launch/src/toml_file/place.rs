//! Where a field stands in a TOML text.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The number of the line that has this byte, from 1.
pub fn line_of(text: &str, byte: usize) -> usize {
    let before = &text.as_bytes()[..byte.min(text.len())];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The byte where a field such as `pool.gb_s` or `group[1].workers` stands. Of tables with one name, the
/// first that has the field counts. Else a key with the last name of the field, else the nearest table
/// around it. None: the text has no part of it.
pub fn place(text: &str, field: &str) -> Option<usize> {
    let doc = DeTable::parse(text).ok()?;
    let mut around = None;
    if descend(doc.get_ref(), field, &mut around) {
        return around;
    }
    let name = field.rsplit('.').next().unwrap_or(field);
    let name = name.split('[').next().unwrap_or(name);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.split_once('=').is_some_and(|(key, _)| key.trim() == name) {
            return Some(start);
        }
        start += line.len();
    }
    around
}

/// Whether the field was found. `found`: where it is, or the last part of its path.
fn descend(table: &DeTable<'_>, field: &str, found: &mut Option<usize>) -> bool {
    let (first, rest) = field.split_once('.').map_or((field, None), |(a, b)| (a, Some(b)));
    let (name, index) = match first.strip_suffix(']').and_then(|first| first.split_once('[')) {
        Some((name, index)) => (name, index.parse::<usize>().ok()),
        None => (first, None),
    };
    let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else {
        return false;
    };
    *found = Some(start(key, value));
    match (value.get_ref(), rest) {
        (DeValue::Table(inner), Some(rest)) => descend(inner, rest, found),
        (DeValue::Array(list), rest) => {
            let all = match index {
                Some(index) => list.get(index..=index).unwrap_or_default(),
                None => &list[..],
            };
            if let Some(first) = all.first() {
                *found = Some(first.span().start);
            }
            let Some(rest) = rest else { return true };
            all.iter().any(|item| match item.get_ref() {
                DeValue::Table(inner) => descend(inner, rest, found),
                _ => false,
            })
        }
        (_, rest) => rest.is_none(),
    }
}

/// Where a value stands. A table whose header is only implied stands at its key.
pub fn start(key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> usize {
    match value.get_ref() {
        DeValue::Table(_) | DeValue::Array(_) if value.span().is_empty() => key.span().start,
        _ => value.span().start,
    }
}
