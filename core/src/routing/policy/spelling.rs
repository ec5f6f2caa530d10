//! How a rule with its parameters is written and read: `NAME` or `NAME(key=value,key=value)`.

use super::parameter::Parameters;

/// Why a text is not a rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    /// No rule has that name.
    #[error("unknown policy '{given}', expected one of: {known}")]
    Unknown {
        /// The name.
        given: String,
        /// Names of the rules there are.
        known: String,
    },
    /// The rule has no such parameter.
    #[error("policy {policy} has no parameter '{given}', {known}")]
    UnknownParameter {
        /// The rule.
        policy: &'static str,
        /// The parameter that it does not have.
        given: String,
        /// Those that it has, in words.
        known: String,
    },
    /// The parameter has no such value.
    #[error("policy {policy}: {parameter} is '{given}', expected {expected}")]
    BadValue {
        /// The rule.
        policy: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// What was written.
        given: String,
        /// What is allowed, in words.
        expected: String,
    },
    /// One parameter was given two values.
    #[error("policy {policy}: {parameter} is given twice, expected one value")]
    Twice {
        /// The rule.
        policy: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
    /// The text is not built like a rule with parameters.
    #[error("policy '{given}': {why}, expected NAME or NAME(key=value,key=value)")]
    Malformed {
        /// The text.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// After the rule stands a part that no rule has.
    #[error("policy '{given}': unknown part '{part}', expected hold")]
    UnknownPart {
        /// The text.
        given: String,
        /// The name of the part.
        part: String,
    },
    /// Two policies of one list have the same label.
    #[error("policy label '{label}' is used twice, expected a different label for each policy")]
    SameLabel {
        /// The label.
        label: String,
    },
}

/// Splits a rule from the part after a `+`. A number may have a `+` too, inside parentheses.
pub(super) fn split_part(given: &str) -> (&str, Option<&str>) {
    let mut depth = 0u32;
    for (at, c) in given.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '+' if depth == 0 => return (&given[..at], Some(&given[at + 1..])),
            _ => {}
        }
    }
    (given, None)
}

/// A name with those values that are given: `NAME` or `NAME(key=value,..)`.
pub(super) fn join(name: &str, changed: &[(&'static str, String)]) -> String {
    if changed.is_empty() {
        return name.to_owned();
    }
    let pairs: Vec<String> = changed.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{name}({})", pairs.join(","))
}

/// A name, and keys with their values in the order in which they are written.
type Spelling<'a> = (&'a str, Vec<(&'a str, &'a str)>);

/// Takes a spelling apart.
pub(super) fn split(given: &str) -> Result<Spelling<'_>, PolicyError> {
    let malformed =
        |why: &str| PolicyError::Malformed { given: given.trim().to_owned(), why: why.to_owned() };
    let Some((name, rest)) = given.split_once('(') else {
        return if given.contains(')') {
            Err(malformed("a ')' without '('"))
        } else {
            Ok((given.trim(), Vec::new()))
        };
    };
    let inner = rest.trim_end().strip_suffix(')').ok_or_else(|| malformed("no ')' at the end"))?;
    if inner.contains(['(', ')']) {
        return Err(malformed("parentheses inside parentheses"));
    }
    if inner.trim().is_empty() {
        return Ok((name.trim(), Vec::new()));
    }
    let mut pairs = Vec::new();
    for text in inner.split(',') {
        let no_equals = || malformed(&format!("'{}' has no '='", text.trim()));
        let (key, value) = text.split_once('=').ok_or_else(no_equals)?;
        pairs.push((key.trim(), value.trim()));
    }
    Ok((name.trim(), pairs))
}

/// The rule `policy` with these values; the other parameters have their defaults.
pub(super) fn build<R: Parameters>(
    policy: &'static str,
    values: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
) -> Result<R, PolicyError> {
    let mut rule = R::default();
    let mut given: Vec<&str> = Vec::new();
    for (key, value) in values {
        let (key, value) = (key.as_ref(), value.as_ref());
        let parameter = R::LIST.iter().find(|parameter| parameter.name == key);
        let parameter = parameter.ok_or_else(|| {
            let names: Vec<&str> = R::LIST.iter().map(|parameter| parameter.name).collect();
            let known = match names.as_slice() {
                [] => "it has no parameters".to_owned(),
                names => format!("expected one of: {}", names.join(", ")),
            };
            PolicyError::UnknownParameter { policy, given: key.to_owned(), known }
        })?;
        if given.contains(&parameter.name) {
            return Err(PolicyError::Twice { policy, parameter: parameter.name });
        }
        given.push(parameter.name);
        if !(parameter.set)(&mut rule, value) {
            let unit = match parameter.unit {
                "" => String::new(),
                unit => format!(" ({unit})"),
            };
            return Err(PolicyError::BadValue {
                policy,
                parameter: parameter.name,
                given: value.to_owned(),
                expected: (parameter.expected)() + &unit,
            });
        }
    }
    Ok(rule)
}

/// The rule with one parameter changed, for each parameter.
pub(super) fn near<R: Parameters>(rule: &R, round: u32) -> Vec<Vec<R>> {
    R::LIST.iter().map(|parameter| (parameter.near)(rule, round)).collect()
}

/// The parameters that differ from the rule's defaults, with their values.
pub(super) fn changed<R: Parameters>(rule: &R) -> Vec<(&'static str, String)> {
    let default = R::default();
    let values = R::LIST.iter().map(|p| (p.name, (p.get)(rule), (p.get)(&default)));
    values.filter(|(_, now, default)| now != default).map(|(name, now, _)| (name, now)).collect()
}
