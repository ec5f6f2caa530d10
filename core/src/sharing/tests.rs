use super::*;
use crate::block::{Chain, hash_blocks, hash_segments};
use crate::tokens::{Segment, materialize};

const SIZE: u32 = 16;

fn scopes(sharing: &str, tenants: u32) -> Scopes {
    let operator = ScopePlan::new("", "m", "", SIZE);
    Scopes::new(&operator, sharing.parse().unwrap(), Tenants::new(tenants, 0.0))
}

fn whose(tenant: u32, session: u64, request: u64) -> Requester {
    let session = Some(SessionId(session));
    Requester { tenant: TenantId(tenant), session, request: RequestId(request) }
}

/// The hashes of one text of 200 tokens, from segments and from token ids. The operator declared the
/// first 100 tokens public.
fn chains(scopes: &Scopes, whose: Requester) -> [Chain; 2] {
    let text = [Segment::Text { seed: 1, tokens: 100 }, Segment::Text { seed: 2, tokens: 100 }];
    let plan = scopes.plan(whose, 100);
    let written = hash_blocks(&plan, &materialize(&text, 200));
    [hash_segments(&plan, &text), written]
}

/// The blocks that two requests with the same text share, from segments and from token ids.
fn shared(scopes: &Scopes, a: Requester, b: Requester) -> u32 {
    let (a, b) = (chains(scopes, a), chains(scopes, b));
    let [described, written] = [0, 1].map(|form| {
        let (a, b) = (&a[form], &b[form]);
        let until = a.agree_until(b, 0, a.blocks());
        // After the first difference no hash is equal to another one, at the same or another place.
        let all = || until..a.blocks();
        assert!(all().all(|i| all().all(|j| a.hash(i) != b.hash(j))));
        until
    });
    assert_eq!(described, written);
    described
}

#[test]
fn each_scope_shares_within_its_group_only() {
    // Shared blocks with the same session, tenant, group and operator; 12 in all, 6 of them public.
    let rows = [
        ("none", [0, 0, 0, 0]),
        ("session", [12, 0, 0, 0]),
        ("tenant", [12, 12, 0, 0]),
        ("group:2", [12, 12, 12, 0]),
        ("all", [12, 12, 12, 12]),
    ];
    let first = whose(1, 10, 100);
    let others = [whose(1, 10, 101), whose(1, 11, 102), whose(3, 12, 103), whose(2, 13, 104)];
    for (name, expected) in rows {
        let plain = scopes(name, 8);
        let public = scopes(&format!("{name}+public"), 8);
        assert_eq!(shared(&plain, first, first), 12);
        for (other, expected) in others.into_iter().zip(expected) {
            assert_eq!(shared(&plain, first, other), expected, "{name}, {other:?}");
            assert_eq!(shared(&public, first, other), expected.max(6), "{name}, {other:?}");
        }
        // A rule with a public part and one without share no block.
        assert_ne!(chains(&plain, first)[0].hash(0), chains(&public, first)[0].hash(0));
    }
    let all: Vec<_> =
        rows.iter().map(|(name, _)| chains(&scopes(name, 8), first)[1].hash(0)).collect();
    assert!((1..5).all(|i| !all[..i].contains(&all[i])), "{all:?}");
}

#[test]
fn a_session_id_guessed_by_another_tenant_shares_no_block() {
    assert_eq!(shared(&scopes("session", 8), whose(1, 10, 100), whose(2, 10, 101)), 0);
}

#[test]
fn a_request_without_a_session_shares_no_block_with_another() {
    let scopes = scopes("session", 2);
    let alone = |request| Requester { session: None, ..whose(1, 0, request) };
    assert_eq!(shared(&scopes, alone(5), alone(5)), 12);
    assert_eq!(shared(&scopes, alone(5), alone(6)), 0);
    assert_eq!(shared(&scopes, alone(5), whose(1, 5, 5)), 0, "a request is not a session");
}

/// With one tenant and no public part, hashes are those of versions without scopes.
#[test]
fn a_single_tenant_has_the_scope_of_the_operator() {
    let operator = ScopePlan::new("", "m", "", SIZE);
    for name in ["tenant", "group:1", "all"] {
        let scopes = scopes(name, 1);
        assert!(scopes.is_one());
        assert_eq!(scopes.plan(whose(0, 3, 4), 100), operator);
    }
    assert!(!scopes("session", 1).is_one() && !scopes("all+public", 1).is_one());
    // Fixed values, because a record of an earlier version must replay.
    let [described, written] = chains(&scopes("tenant", 1), whose(0, 0, 0));
    assert_eq!(format!("{:?}", written.hash(11)), WRITTEN);
    assert_eq!(format!("{:?}", described.hash(11)), DESCRIBED);
}

const WRITTEN: &str = "d4049e68640edd30285937a95f289315";
const DESCRIBED: &str = "03c492e917923b6b6f75f4ddf86c63d0";

#[test]
fn a_segment_that_crosses_the_public_part_differs_from_one_that_starts_after_it() {
    let scopes = scopes("tenant+public", 2);
    let plan = scopes.plan(whose(1, 1, 1), 100);
    assert_eq!(plan.public_tokens(), 96);
    let text = |seed, tokens| Segment::Text { seed, tokens };
    let chain = |text: &[Segment]| hash_segments(&plan, text);
    let through = chain(&[text(1, 160)]);
    let separate = chain(&[text(1, 96), text(1, 64)]);
    assert_eq!(through.agree_until(&separate, 0, 10), 6);
    let longer = chain(&[text(1, 200), text(2, 8)]);
    assert_eq!(through.agree_until(&longer, 0, 10), 10);
    // A text that ends within the public part is public as a whole.
    let short = chain(&[text(1, 40)]);
    assert_eq!((short.blocks(), short.agree_until(&through, 0, 2)), (2, 2));
}

#[test]
fn tenants_follow_from_session_names_and_zipf_shares() {
    let counts = |tenants: &Tenants| {
        let mut counts = vec![0; tenants.count() as usize];
        (0..20_000).for_each(|session| counts[tenants.deal(&[7, session]).0 as usize] += 1);
        counts
    };
    assert_eq!(counts(&Tenants::default()), [20_000]);
    let even = counts(&Tenants::new(4, 0.0));
    assert!(even.iter().all(|&count| (4_700..5_300).contains(&count)), "{even:?}");
    // 1 + 1/2 + 1/3 + 1/4 is 25/12, so the first tenant has 48 % and the last 12 %.
    let zipf = counts(&Tenants::new(4, 1.0));
    assert!((9_300..9_900).contains(&zipf[0]) && (2_200..2_600).contains(&zipf[3]), "{zipf:?}");
    assert_eq!(zipf, counts(&Tenants::new(4, 1.0)));
}

#[test]
fn a_sharing_rule_is_printed_as_it_is_read() {
    for name in ["none", "session", "tenant", "group:3", "all", "tenant+public", "group:1+public"] {
        assert_eq!(name.parse::<SharingRule>().unwrap().to_string(), name);
    }
    for name in
        ["", "tenants", "group", "group:0", "group:x", "all:2", "+public", "tenant+", "none "]
    {
        let why = name.parse::<SharingRule>().unwrap_err();
        assert!(why.starts_with("expected none, session, tenant, group:N or all"), "{name}: {why}");
    }
}
