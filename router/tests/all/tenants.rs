//! Tenants on real sockets: which calls are served, which blocks a request finds, and what a tenant
//! finds that knows everything another tenant says.

use crate::common::fake::Fake;
use crate::common::*;
use std::sync::Arc;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::SharingScope;
use warmpath_proto::hints::{self, Holder, PullHint};
use warmpath_proto::scope::{ScopeHint, SharedBy};
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_proto::v1::{ExplainRequest, ExplainResponse};
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::{
    AbortRequest, GenerateRequest, GetModelInfoRequest, GetServerInfoRequest, KvCacheParameters,
    TokenIds, generate_request::Prompt,
};
use warmpath_proto::{admin, raw, transport};
use warmpath_router::RouterConfig;
use warmpath_router::public::PublicPrefix;
use warmpath_router::secret::Secret;
use warmpath_router::tenants::TenantConfig;
use warmpath_worker_sim::WorkerConfig;

/// Tokens of the operator's system prompt: four blocks and a part of one.
pub(super) const SYSTEM: u32 = 70;
pub(super) const PUBLIC: u32 = SYSTEM / BLOCK * BLOCK;

pub(super) fn token(name: &str) -> String {
    format!("the-token-of-{name}-is-long")
}

/// Three tenants, of which the first and the last are in one group.
fn tenants() -> Vec<TenantConfig> {
    [("a", Some("g")), ("b", None), ("c", Some("g"))]
        .map(|(name, group)| TenantConfig {
            name: name.to_owned(),
            token: Secret::new(token(name)),
            group: group.map(str::to_owned),
        })
        .to_vec()
}

pub(super) async fn start(
    workers: &[TestWorker],
    sharing: SharingScope,
    with_public: bool,
) -> TestRouter {
    let public = PublicPrefix { name: "system".to_owned(), ids: prompt(1, SYSTEM) };
    let config = RouterConfig {
        tenants: tenants(),
        sharing,
        public_prefixes: with_public.then_some(public).into_iter().collect(),
        // One for each router, so that none finds what another left.
        secret: Some(Secret::new(format!("{sharing:?}{with_public}"))),
        ..router_config(workers, PolicyConfig::KvAware)
    };
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == workers.len()).await;
    router
}

pub(super) fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// How many prompt tokens a tenant's request found.
async fn cached(client: &Client, tenant: &str, request: GenerateRequest) -> Result<u32, Status> {
    let answer = within(client.clone().generate(with_token(request, &token(tenant)))).await?;
    let finish = answer.into_inner().outputs.unwrap().finish_info.unwrap();
    Ok(finish.num_cached_tokens.unwrap_or(0))
}

/// The system prompt and a text of 130 tokens: 12 whole blocks in all.
pub(super) fn words(text: u64) -> Vec<u32> {
    [prompt(1, SYSTEM), prompt(text, 130)].concat()
}

const WHOLE: u32 = 12 * BLOCK;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_calls_with_a_token_are_served() {
    let workers = [TestWorker::start(worker_config())];
    let router = start(&workers, SharingScope::Tenant, false).await;
    let client = router.client();
    let mut control = ControlClient::new(transport::channel(&router.url).unwrap());
    let refused = |status: Status| {
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(!status.message().contains("the-token"), "{status}");
    };
    let ask = || request(words(2), 2);
    refused(within(client.clone().generate(ask())).await.unwrap_err());
    refused(within(client.clone().generate_stream(ask())).await.unwrap_err());
    refused(within(control.get_server_info(GetServerInfoRequest {})).await.unwrap_err());
    refused(within(control.get_model_info(GetModelInfoRequest {})).await.unwrap_err());
    refused(within(control.abort(AbortRequest::default())).await.unwrap_err());
    for wrong in ["", "guess", "the-token-of-a-is-lon", "the-token-of-a-is-long "] {
        let call = with_token(ask(), wrong);
        refused(within(client.clone().generate(call)).await.unwrap_err());
    }
    let info = with_token(GetServerInfoRequest {}, &token("b"));
    assert_eq!(within(control.get_server_info(info)).await.unwrap().get_ref().kv_block_size, BLOCK);
    assert_eq!(cached(&client, "a", ask()).await.unwrap(), 0);
    // Probes of health need none.
    let channel = transport::channel(&router.url).unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    within(health.check(tonic_health::pb::HealthCheckRequest::default())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_scope_shares_on_the_wire_as_it_says() {
    let workers = [TestWorker::start(worker_config())];
    // Again by itself; in another session; by a tenant of its group; by another one.
    let rows = [
        (SharingScope::None, [0, 0, 0, 0]),
        (SharingScope::Session, [WHOLE, 0, 0, 0]),
        (SharingScope::Tenant, [WHOLE, WHOLE, 0, 0]),
        (SharingScope::Group, [WHOLE, WHOLE, WHOLE, 0]),
        (SharingScope::All, [WHOLE; 4]),
    ];
    for (scope, expected) in rows {
        for with_public in [false, true] {
            let router = start(&workers, scope, with_public).await;
            let client = router.client();
            let ask = |text, session: &str| GenerateRequest {
                session_id: Some(session.to_owned()),
                ..request(words(text), 2)
            };
            for ((tenant, session), (text, expected)) in
                [("a", "s"), ("a", "t"), ("c", "s"), ("b", "s")]
                    .into_iter()
                    .zip((2..).zip(expected))
            {
                let first = cached(&client, "a", ask(text, "s")).await.unwrap();
                let again = cached(&client, tenant, ask(text, session)).await.unwrap();
                let least = if with_public { PUBLIC } else { 0 };
                // The first of these texts finds nothing, later ones the system prompt before them.
                let own_prompt = if scope == SharingScope::None { least } else { PUBLIC };
                let known = if text == 2 { 0 } else { own_prompt };
                assert_eq!(first, known, "{scope:?}, public {with_public}, text {text}");
                assert_eq!(again, expected.max(least), "{scope:?}, public {with_public}, {tenant}");
            }
        }
    }
}

/// A request of an attacker that knows a victim's text, names and salts and how all of this works,
/// but not the router's secret.
pub(super) fn attempt(kind: usize, text: u64, victims: &GenerateRequest) -> GenerateRequest {
    let whole = request(words(text), 2);
    let with_salt = |salt: String| GenerateRequest {
        kv: Some(KvCacheParameters { cache_salt: salt, ..KvCacheParameters::default() }),
        ..whole.clone()
    };
    match kind {
        0 => GenerateRequest { session_id: victims.session_id.clone(), ..whole },
        1 => request(words(text)[..120].to_vec(), 2),
        2 => request([&words(text)[..150], &prompt(9, 60)].concat(), 2),
        3 => with_salt(SharedBy::Tenant("a").salt("", "")),
        4 => with_salt(SharedBy::Tenant("a").salt("guessed", "")),
        _ => {
            // It claims that all is public, and names a peer to have it from.
            let public_salt = SharedBy::Tenant("a").salt("", "");
            let scope = ScopeHint { public_salt, public_blocks: 12, tenant: 0 };
            let from = "http://127.0.0.1:1".to_owned();
            let pull = PullHint { holder: Holder::Peer, from, blocks: 12 };
            let actions = vec![scope.to_action(), pull.to_action()];
            GenerateRequest { kv_hints: Some(hints::to_wire("r", actions)), ..whole }
        }
    }
}

/// Two small workers, so that blocks are evicted all the time, and one that restarts in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tenant_finds_another_tenants_text() {
    let small = || {
        let mut config = worker_config();
        config.profile.hbm_tokens = Some(1_600);
        config
    };
    for with_public in [false, true] {
        let mut workers = [TestWorker::start(small()), TestWorker::start(small())];
        let router = start(&workers, SharingScope::Tenant, with_public).await;
        let (client, mut found) = (router.client(), 0);
        // What an attacker may find: the public part, or what it said itself before.
        let allowed = PUBLIC;
        for round in 0..120_u64 {
            let text = 100 + round;
            let session_id = Some(format!("s{}", round % 3));
            let victims = GenerateRequest { session_id, ..request(words(text), 2) };
            cached(&client, "a", victims.clone()).await.unwrap();
            let kind = (round % 6) as usize;
            let across = cached(&client, "b", attempt(kind, text, &victims)).await.unwrap();
            assert!(across <= allowed, "{across} tokens of another's, kind {kind}");
            found += u32::from(across > 0);
            // The same by the victim itself hits, so caches work.
            let again = cached(&client, "a", victims).await.unwrap();
            assert!(again >= PUBLIC, "a tenant finds its own: {again}");
            if round == 60 {
                let address = workers[1].address;
                workers[1].kill();
                workers[1] = TestWorker::start_at(address, small());
                router.wait(|status| status.joined.len() == 2).await;
            }
        }
        assert!(!with_public || found > 100, "what is public is found: {found} of 120");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_requests_are_a_tenants_own() {
    let slow = WorkerConfig { speedup: SPEEDUP, ..worker_config() };
    let workers = [TestWorker::start(slow)];
    let router = start(&workers, SharingScope::Tenant, false).await;
    let ask = || GenerateRequest { request_id: "mine".to_owned(), ..request(words(2), 2_000) };
    let call = |tenant| {
        let mut client = router.client();
        let call = with_token(ask(), &token(tenant));
        async move { client.generate_stream(call).await.map(tonic::Response::into_inner) }
    };
    let mut first = within(call("a")).await.unwrap();
    let mut second = within(call("b")).await.expect("another tenant may use the name too");
    assert_eq!(within(call("a")).await.unwrap_err().code(), Code::AlreadyExists);
    let mut control = ControlClient::new(transport::channel(&router.url).unwrap());
    let abort = AbortRequest { request_ids: vec!["mine".to_owned()] };
    within(control.abort(with_token(abort, &token("b")))).await.unwrap();
    let mut end = None;
    while let Some(answer) = within(second.message()).await.unwrap() {
        end = answer.outputs.and_then(|outputs| outputs.finish_info).or(end);
    }
    assert!(end.unwrap().num_output_tokens < 2_000, "its own was aborted");
    let part = within(first.message()).await.unwrap();
    assert!(part.is_some(), "the other's goes on");
    assert_eq!(router.server.counts().in_flight, 1);
}

/// The operator asks in a tenant's name; what he is told is what that tenant's request would find.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_belongs_to_one_tenant() {
    let workers = [TestWorker::start(worker_config())];
    let router = start(&workers, SharingScope::Tenant, false).await;
    cached(&router.client(), "a", request(words(2), 2)).await.unwrap();
    router.wait_counts(|counts| counts.in_flight == 0 && counts.runs > 0).await;
    let operator = router.server.admin();
    let explain = |tenant: &str| {
        let about = Some(About::GenerateRequest(admin::request_to_wire(&request(words(2), 2))));
        let asked = ExplainRequest { about, tenant: tenant.to_owned() };
        let operator = operator.clone();
        async move { operator.explain(Request::new(asked)).await }
    };
    let overlap = |answer: tonic::Response<ExplainResponse>| -> u32 {
        answer.get_ref().candidates[0].overlap_by_tier.iter().sum()
    };
    assert_eq!(overlap(explain("a").await.unwrap()), WHOLE / BLOCK);
    assert_eq!(overlap(explain("b").await.unwrap()), 0);
    assert_eq!(explain("").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(explain("missing").await.unwrap_err().code(), Code::NotFound);
}

/// Two tenants may call their requests alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_explained_per_tenant() {
    let workers = [TestWorker::start(worker_config())];
    let router = start(&workers, SharingScope::Tenant, false).await;
    // From its first word on decisions are kept.
    let operator = router.server.admin();
    let named =
        |name: &str| GenerateRequest { request_id: name.to_owned(), ..request(words(2), 2) };
    for (tenant, name) in [("a", "first"), ("a", "both"), ("b", "both")] {
        cached(&router.client(), tenant, named(name)).await.unwrap();
    }
    let explain = |name: &str, tenant: &str| {
        let about = Some(About::RequestId(name.to_owned()));
        let asked = ExplainRequest { about, tenant: tenant.to_owned() };
        let operator = operator.clone();
        async move { operator.explain(Request::new(asked)).await.map(|answer| answer.get_ref().number) }
    };
    let first = explain("first", "").await.expect("only one is called that");
    let (of_a, of_b) = (explain("both", "a").await.unwrap(), explain("both", "b").await.unwrap());
    assert_eq!((of_a, of_b), (first + 1, first + 2));
    let unclear = explain("both", "").await.unwrap_err();
    assert_eq!(unclear.code(), Code::InvalidArgument);
    let expected = "tenant: missing, expected one of: a, b; each has a request of that name";
    assert_eq!(unclear.message(), expected);
    assert_eq!(explain("first", "b").await.unwrap_err().code(), Code::NotFound);
    let missing = explain("both", "missing").await.unwrap_err();
    assert_eq!(missing.message(), "tenant: 'missing' is no tenant of this router");
}

/// A worker hears of no token, and of what is public in a field that engines which do not know it
/// leave alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_told_the_scope_and_nothing_else() {
    let fake = Fake { messages: Arc::new(Vec::new()), ..Fake::default() };
    let config = RouterConfig {
        speedup: SPEEDUP,
        tenants: tenants(),
        secret: Some(Secret::new("secret")),
        public_prefixes: vec![PublicPrefix { name: "s".to_owned(), ids: prompt(1, SYSTEM) }],
        ..RouterConfig::new(vec![fake.serve(SPEEDUP).await], PolicyConfig::KvAware)
    };
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    let plain = request(prompt(5, 100), 2);
    let victim = request(words(2), 2);
    for (tenant, asked) in [("a", plain), ("b", attempt(5, 2, &victim))] {
        let mut client = router.client();
        let _ = within(client.generate(with_token(asked, &token(tenant)))).await;
    }
    let seen: Vec<_> =
        fake.requests.lock().unwrap().iter().map(|bytes| raw::request(bytes).unwrap()).collect();
    let salt = |i: usize| seen[i].kv.clone().unwrap().cache_salt;
    assert_eq!(
        (salt(0), salt(1)),
        (SharedBy::Tenant("a").salt("secret", ""), SharedBy::Tenant("b").salt("secret", ""),)
    );
    assert_eq!(seen[0].kv_hints, None, "the first tenant, and nothing public");
    let told = seen[1].kv_hints.as_ref().unwrap();
    let expected = ScopeHint {
        public_salt: SharedBy::Public.salt("secret", ""),
        public_blocks: PUBLIC / BLOCK,
        tenant: 1,
    };
    assert_eq!((told.actions.len(), ScopeHint::from_wire(told)), (1, Some(expected)));
    let ids = |request: &GenerateRequest| match request.prompt.clone() {
        Some(Prompt::TokenIds(TokenIds { ids })) => ids,
        _ => panic!("token ids"),
    };
    assert_eq!(ids(&seen[1]), words(2));
}
