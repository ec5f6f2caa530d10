//! The metrics that a PromQL expression reads.

/// One selector: a metric, what it asks of its labels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector {
    pub name: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
}

/// What is neither a metric nor a function.
const WORDS: [&str; 13] = [
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "inf",
    "nan",
];
/// What is followed by a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The selectors of an expression, in their order. Panics at what it does not know.
pub fn selectors(text: &str) -> Vec<Selector> {
    let mut found: Vec<Selector> = Vec::new();
    let mut rest = text.trim_start();
    let mut lists = false;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_alphabetic() || c == '_' || c == ':' {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            rest = after.trim_start();
            lists = LISTS.contains(&name);
            // A function, or an aggregation such as `sum by (le) (..)`.
            let called = ["(", "by ", "by(", "without ", "without("];
            let called = called.iter().any(|next| rest.starts_with(next));
            if !WORDS.contains(&name) && !called {
                found.push(Selector { name: name.to_owned(), matchers: Vec::new() });
            }
        } else if c == '(' && std::mem::take(&mut lists) {
            rest = past(rest, ')');
        } else if c == '{' {
            let end = closing(rest);
            let last = found.last_mut().expect("a selector without a name is not used");
            last.matchers = matchers(&rest[1..end]);
            rest = &rest[end + 1..];
        } else if c == '[' {
            rest = past(rest, ']');
        } else if c == '"' {
            rest = past(&rest[1..], '"');
        } else if c.is_ascii_digit() {
            // A number with its unit.
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else {
            assert!("()+-*/%^=!<>,~ \n".contains(c), "what is {c:?} in {text}?");
            rest = &rest[c.len_utf8()..];
        }
        rest = rest.trim_start();
    }
    found
}

fn past(text: &str, end: char) -> &str {
    text.split_once(end).unwrap_or_else(|| panic!("no {end} in {text}")).1
}

/// Where the `}` is that ends a list of matchers. Values may have one too.
fn closing(text: &str) -> usize {
    let mut quoted = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '}' if !quoted => return i,
            _ => {}
        }
    }
    panic!("no }} in {text}")
}

fn matchers(text: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (left, after) = rest.split_once('"').expect("a value in quotes");
        let (value, after) = after.split_once('"').expect("the end of a value");
        let at = left.find(['=', '!']).expect("an operator");
        let (label, operator) = left.split_at(at);
        found.push((label.trim().to_owned(), operator.trim().to_owned(), value.to_owned()));
        rest = after.trim_start_matches([',', ' ']);
    }
    found
}

pub fn reads_names() {
    let names = |text: &str| -> Vec<String> {
        selectors(text).into_iter().map(|selector| selector.name).collect()
    };
    assert_eq!(names("up == 0"), ["up"]);
    let quantile = "histogram_quantile(0.9, sum by (le, policy) (rate(a:b_bucket{x=~\"$x\"}[5m])))";
    assert_eq!(names(quantile), ["a:b_bucket"]);
    let two = "sum(rate(a_total{l=\"}\", m!~\"b|c\"}[$__rate_interval]) / on (e) group_left () max by (e) (b)) > 1e3";
    let read = selectors(two);
    assert_eq!(names(two), ["a_total", "b"]);
    let matcher = |label: &str, operator: &str, value: &str| {
        (label.to_owned(), operator.to_owned(), value.to_owned())
    };
    assert_eq!(read[0].matchers, [matcher("l", "=", "}"), matcher("m", "!~", "b|c")]);
    assert_eq!(names("a and b unless on (x) c offset 5m"), ["a", "b", "c"]);
}
