//! Rules with parameters: how they are written, read, listed and labelled.

use warmpath_core::routing::policy::{
    NamedPolicy, PolicyConfig, SessionAffinity, WaitForRoom, check_labels, parse_policies,
};

fn read(text: &str) -> PolicyConfig {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    text.parse::<PolicyConfig>().expect_err(text).to_string()
}

#[test]
fn a_rule_is_written_with_the_parameters_that_differ_from_its_defaults() {
    for &policy in PolicyConfig::ALL {
        assert_eq!(policy.to_string(), policy.name());
        assert_eq!(read(policy.name()), policy);
    }
    let bound = PolicyConfig::from(SessionAffinity { bound: 1.5 });
    assert_eq!(bound.to_string(), "session-affinity(bound=1.5)");
    assert_eq!(read("session-affinity(bound=1.25)"), PolicyConfig::SessionAffinity);
    let waits = PolicyConfig::from(WaitForRoom { max_active: 2, recheck_s: 0.25 });
    // Spaces are allowed; the order is free, and that of the declaration in what is written.
    for text in [
        "wait-for-room(recheck_s=0.25,max_active=2)",
        " wait-for-room ( max_active = 2 , recheck_s = 0.25 ) ",
    ] {
        assert_eq!(read(text), waits, "{text}");
    }
    assert_eq!(waits.to_string(), "wait-for-room(max_active=2,recheck_s=0.25)");
    assert_eq!(read(&waits.to_string()), waits);
    assert_eq!(read("kv-aware()"), PolicyConfig::KvAware);
    assert_eq!(format!("{:>10}|", PolicyConfig::KvAware), "  kv-aware|", "it can be padded");
}

#[test]
fn in_json_a_rule_is_its_spelling() {
    let json = |policy| serde_json::to_string(&policy).expect("a spelling");
    assert_eq!(json(PolicyConfig::KvAware), "\"kv-aware\"");
    let waits = read("wait-for-room(max_active=3)");
    assert_eq!(json(waits), "\"wait-for-room(max_active=3)\"");
    assert_eq!(serde_json::from_str::<PolicyConfig>(&json(waits)).expect("it is one"), waits);
    let unknown = serde_json::from_str::<PolicyConfig>("\"best\"").expect_err("no rule");
    assert!(unknown.to_string().starts_with("unknown policy 'best', expected one of: "));
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_what_is_expected() {
    let names: Vec<&str> = PolicyConfig::ALL.iter().map(|policy| policy.name()).collect();
    let names = names.join(", ");
    for (text, expected) in [
        ("best", format!("unknown policy 'best', expected one of: {names}")),
        ("", format!("unknown policy '', expected one of: {names}")),
        ("kv-aware(x=1)", "policy kv-aware has no parameter 'x', it has no parameters".into()),
        (
            "sticky-session(ttl=1)",
            "policy sticky-session has no parameter 'ttl', expected one of: ttl_s, capacity".into(),
        ),
        (
            "sticky-session(capacity=0)",
            "policy sticky-session: capacity is '0', expected a whole number from 1 to 16777216 \
             (sessions)"
                .into(),
        ),
        (
            "session-affinity(bound=wide)",
            "policy session-affinity: bound is 'wide', expected a number from 1 to 1000 (x mean)"
                .into(),
        ),
        (
            "session-affinity(bound=)",
            "policy session-affinity: bound is '', expected a number from 1 to 1000 (x mean)".into(),
        ),
        (
            "session-affinity(bound=2,bound=3)",
            "policy session-affinity: bound is given twice, expected one value".into(),
        ),
        (
            "session-affinity(2)",
            "policy 'session-affinity(2)': '2' has no '=', expected NAME or \
             NAME(key=value,key=value)"
                .into(),
        ),
        (
            "session-affinity(bound=2",
            "policy 'session-affinity(bound=2': no ')' at the end, expected NAME or \
             NAME(key=value,key=value)"
                .into(),
        ),
        (
            "session-affinity(bound=(2))",
            "policy 'session-affinity(bound=(2))': parentheses inside parentheses, expected NAME or \
             NAME(key=value,key=value)"
                .into(),
        ),
        (
            "kv-aware)",
            "policy 'kv-aware)': a ')' without '(', expected NAME or NAME(key=value,key=value)".into(),
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn a_table_of_parameters_gives_the_same_rule_and_the_same_errors() {
    let waits = PolicyConfig::with("wait-for-room", [("max_active", "2")]).expect("a rule");
    assert_eq!(waits, read("wait-for-room(max_active=2)"));
    assert_eq!(waits.changed(), [("max_active", "2".to_owned())]);
    let none: [(&str, &str); 0] = [];
    assert_eq!(PolicyConfig::with("kv-aware", none), Ok(PolicyConfig::KvAware));
    let wrong = PolicyConfig::with("wait-for-room", [("max_active".to_owned(), "-1".to_owned())]);
    assert_eq!(wrong.expect_err("below").to_string(), error("wait-for-room(max_active=-1)"));
}

#[test]
fn the_catalogue_lists_every_rule_and_its_defaults_can_be_written() {
    let catalogue = PolicyConfig::catalogue();
    assert!(catalogue.iter().map(|rule| rule.name).eq(PolicyConfig::ALL.iter().map(|p| p.name())));
    for rule in &catalogue {
        assert!(rule.rule.ends_with('.') && rule.rule.len() > 10, "{}", rule.rule);
        let written = rule.parameters.iter().map(|p| (p.name, p.default.as_str()));
        let policy = PolicyConfig::with(rule.name, written).expect("defaults are allowed");
        assert_eq!(policy.to_string(), rule.name);
        for parameter in &rule.parameters {
            assert!(parameter.what.ends_with('.'), "{}: {}", rule.name, parameter.what);
            let may = &parameter.expected;
            let is_said = may.contains("from ") || may.starts_with("one of: ");
            assert!(is_said || may == "true or false", "{may}");
        }
    }
    let sticky = catalogue.iter().find(|rule| rule.name == "sticky-session").expect("it is listed");
    let ttl = &sticky.parameters[0];
    assert_eq!((ttl.name, ttl.unit, ttl.default.as_str()), ("ttl_s", "s", "600"));
    assert_eq!(ttl.expected, "a number from 0.001 to 1000000000");
}

#[test]
fn a_list_is_split_at_commas_outside_parentheses() {
    let list = parse_policies("kv-aware, wait-for-room(max_active=2,recheck_s=3),kv-aware")
        .expect("a list");
    let labels: Vec<&str> = list.iter().map(|named| named.label.as_str()).collect();
    assert_eq!(labels, ["kv-aware", "wait-for-room(max_active=2,recheck_s=3)", "kv-aware"]);
    let twice = check_labels(&list).expect_err("kv-aware stands there twice").to_string();
    assert_eq!(
        twice,
        "policy label 'kv-aware' is used twice, expected a different label for each policy"
    );
    assert_eq!(check_labels(&list[..2]), Ok(()));
    let other = parse_policies("kv-aware,").expect_err("a name is missing").to_string();
    assert!(other.starts_with("unknown policy ''"), "{other}");
}

#[test]
fn a_label_is_the_spelling_where_no_other_is_given() {
    let named = |json: &str| serde_json::from_str::<NamedPolicy>(json).expect("a policy");
    let plain = named(r#"{"policy":"session-affinity(bound=2)"}"#);
    assert_eq!(plain.label, "session-affinity(bound=2)");
    let labelled = named(r#"{"label":"wide","policy":"session-affinity(bound=2)"}"#);
    assert_eq!((labelled.label.as_str(), labelled.policy), ("wide", plain.policy));
    let again = named(&serde_json::to_string(&labelled).expect("it has a form"));
    assert_eq!(again, labelled);
}
