//! Which requests go to a worker, and what the others are told.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_answers_in_openais_shape() {
    // No worker.
    let nowhere = vec!["http://127.0.0.1:1".to_owned()];
    let config = RouterConfig::new(nowhere, PolicyConfig::KvAware);
    let picker = Picker::start(config, 8_000).await;
    let mut exchange = picker.exchange().await;
    exchange.ask("/v1/completions", &completion(1, 16), None).await;
    let (code, body) = exchange.refused().await;
    assert_eq!(code, 503);
    assert_eq!(body["error"]["type"], "server_error", "{body}");
    let health = async |service: &str| {
        let mut health = HealthClient::new(transport::channel(&picker.url).unwrap());
        let request = HealthCheckRequest { service: service.to_owned() };
        within(health.check(request)).await.unwrap().into_inner().status
    };
    assert_eq!((health("liveness").await, health("readiness").await), (1, 2));
    assert_eq!(health("envoy.service.ext_proc.v3.ExternalProcessor").await, 2);

    // A full fleet, and no queue: too many requests.
    let (url, at) = worker(HERE, 0).await.unwrap();
    let policy: PolicyConfig = "wait-for-room(max_active=1)".parse().unwrap();
    let mut config = RouterConfig { speedup: SPEEDUP, ..RouterConfig::new(vec![url], policy) };
    config.queue.requests = 0;
    let picker = Picker::start(config, at.port()).await;
    picker.router.wait(|status| status.joined.len() == 1).await;
    let mut first = picker.exchange().await;
    first.ask("/v1/completions", &completion(1, 16), None).await;
    assert_eq!(first.routed().await.0, at.to_string());
    let mut second = picker.exchange().await;
    second
        .ask("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"hi"}]}"#, None)
        .await;
    let (code, body) = second.refused().await;
    assert_eq!((code, &body["error"]["type"]), (429, &"rate_limit_error".into()), "{body}");
    // Envoy lost the client: the booking ends.
    drop(first);
    picker.router.wait_counts(|counts| counts.booked == 0 && counts.in_flight == 0).await;
    // A worker that fails ends its booking too.
    let mut failing = picker.exchange().await;
    failing.ask("/v1/completions", &completion(1, 16), None).await;
    failing.routed().await;
    failing.send(Request::ResponseHeaders(headers(&[(":status", "503")], false))).await;
    failing.next().await.unwrap();
    picker.router.wait_counts(|counts| counts.booked == 0 && counts.in_flight == 0).await;
    // A body that cannot be read names the field.
    let mut bad = picker.exchange().await;
    bad.ask("/v1/completions", r#"{"prompt":"x","n":3}"#, None).await;
    let (code, body) = bad.refused().await;
    assert_eq!((code, &body["error"]["param"]), (400, &"n".into()), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_must_stream_bodies() {
    let nowhere = vec!["http://127.0.0.1:1".to_owned()];
    let picker = Picker::start(RouterConfig::new(nowhere, PolicyConfig::KvAware), 8_000).await;
    let mut exchange = picker.exchange().await;
    let mode = BodySendMode::Buffered.into();
    let config = ProtocolConfiguration { request_body_mode: mode, response_body_mode: mode };
    let head = headers(&[(":path", "/v1/completions")], false);
    let first = ProcessingRequest {
        request: Some(Request::RequestHeaders(head)),
        protocol_config: Some(config),
        ..Default::default()
    };
    exchange.to.send(first).await.unwrap();
    let refused = exchange.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "request_body_mode: BUFFERED, expected FULL_DUPLEX_STREAMED");
}

/// A picker with one worker, whose answers the test makes up.
async fn over_one(change: impl FnOnce(&mut RouterConfig)) -> (TestWorker, Picker) {
    let worker = TestWorker::start(worker_config());
    let mut config = router_config(std::slice::from_ref(&worker), PolicyConfig::KvAware);
    change(&mut config);
    let picker = Picker::start(config, 8_000).await;
    picker.router.wait(|status| status.joined.len() == 1).await;
    (worker, picker)
}

const TOKEN: &str = "the-token-of-a-is-long";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tenants_a_path_that_is_not_known_reaches_no_worker() {
    let (_worker, picker) = over_one(|config| {
        let token = Secret::new(TOKEN);
        config.tenants = vec![TenantConfig { name: "a".to_owned(), token, group: None }];
        config.secret = Some(Secret::new("of this test"));
    })
    .await;
    let bearer = format!("Bearer {TOKEN}");
    let of_a = [("authorization", bearer.as_str())];
    // None: it goes to the worker.
    for (path, without_token, with_token) in [
        ("/health", None, None),
        ("/v1/models?x=1", Some(401), None),
        ("/tokenize", Some(401), None),
        ("/v1/responses", Some(401), Some(404)),
        ("/v1/messages", Some(401), Some(404)),
        ("/metrics", Some(401), Some(404)),
        ("/reset_prefix_cache", Some(401), Some(404)),
        ("/v1/completions/", Some(401), Some(404)),
        ("/v1/%2563ompletions", Some(401), Some(404)),
        // They have no body here.
        ("/v1/completions", Some(401), Some(400)),
        ("/v1/%63ompletions", Some(401), Some(400)),
        ("/v1/chat%2Fcompletions", Some(401), Some(400)),
    ] {
        let asks: [(&[_], _); 2] = [(&[], without_token), (&of_a, with_token)];
        for (headers, refused) in asks {
            let mut exchange = picker.exchange().await;
            exchange.begin(Begin { path, headers, ends: true, ..Begin::default() }).await;
            match refused {
                None => exchange.routed_without_body().await,
                Some(expected) => assert_eq!(exchange.refused().await.0, expected, "{path}"),
            }
        }
    }
    // A path in another spelling is booked and salted like any.
    let mut exchange = picker.exchange().await;
    let path = "/v1/%63ompletions";
    exchange.begin(Begin { path, headers: &of_a, ..Begin::default() }).await;
    exchange.body(&completion(1, 32)).await;
    let (_, body) = exchange.routed().await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(body["cache_salt"].is_string(), "{body}");
    assert_eq!(picker.router.server.counts().booked, 1);
    // Its headers suffice to refuse a request: a body need not come.
    let mut exchange = picker.exchange().await;
    exchange.begin(Begin::default()).await;
    assert_eq!(exchange.refused().await.0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_but_a_probe_takes_a_place_until_its_answer_ends() {
    let (_worker, picker) = over_one(|config| config.listener.streams_per_tenant = 1).await;
    let begin = Begin { path: "/v1/embeddings", ends: true, ..Begin::default() };
    let mut first = picker.exchange().await;
    first.begin(begin).await;
    first.routed_without_body().await;
    let probe = Begin { path: "/health", ..begin };
    for path in ["/v1/embeddings", "/v1/models", "/v1/completions"] {
        let mut second = picker.exchange().await;
        second.begin(Begin { path, ..begin }).await;
        assert_eq!(second.refused().await.0, 429, "{path}");
    }
    let mut probing = picker.exchange().await;
    probing.begin(probe).await;
    probing.routed_without_body().await;
    first.answer(b"{}").await;
    let mut third = picker.exchange().await;
    third.begin(begin).await;
    third.routed_without_body().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_router_drains_no_request_is_admitted_and_probes_hear_it() {
    let (_worker, mut picker) = over_one(|_| ()).await;
    let health = async |url: &str, service: &str| {
        let mut health = HealthClient::new(transport::channel(url).unwrap());
        let request = HealthCheckRequest { service: service.to_owned() };
        within(health.check(request)).await.unwrap().into_inner().status
    };
    // What is under way keeps the router draining.
    let mut first = picker.exchange().await;
    first.ask("/v1/completions", &completion(1, 16), None).await;
    first.routed().await;
    within(async { while health(&picker.url, "readiness").await != 1 {} }).await;
    picker.router.stop();
    let picking = "envoy.service.ext_proc.v3.ExternalProcessor";
    for service in ["", "readiness", picking] {
        within(async { while health(&picker.url, service).await != 2 {} }).await;
    }
    assert_eq!(health(&picker.url, "liveness").await, 1);
    for path in ["/v1/completions", "/v1/models", "/v1/embeddings", "/health"] {
        let mut exchange = picker.exchange().await;
        exchange.begin(Begin { path, ends: true, ..Begin::default() }).await;
        let (code, body) = exchange.refused().await;
        assert_eq!((code, &body["error"]["message"]), (503, &"the router is draining".into()));
    }
    first.answer(b"{}").await;
    picker.router.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_client_leaves_is_held_no_longer() {
    let worker = TestWorker::start(worker_config());
    let policy: PolicyConfig = "wait-for-room(max_active=1)".parse().unwrap();
    let config = router_config(std::slice::from_ref(&worker), policy);
    let picker = Picker::start(config, 8_000).await;
    picker.router.wait(|status| status.joined.len() == 1).await;
    let mut first = picker.exchange().await;
    first.ask("/v1/completions", &completion(1, 16), None).await;
    first.routed().await;
    let held = async || {
        let exchange = picker.exchange().await;
        exchange.ask("/v1/completions", &completion(1, 16), None).await;
        picker.router.wait_counts(|counts| counts.held == 1).await;
        exchange
    };
    let not_held = async || {
        picker.router.wait_counts(|counts| counts.held == 0 && counts.in_flight == 1).await;
    };
    // Envoy cuts the exchange off, ends its part of it, or answers the client itself.
    drop(held().await);
    not_held().await;
    let Exchange { to, from } = held().await;
    drop(to);
    not_held().await;
    drop(from);
    let mut answered = held().await;
    assert_eq!(answered.answer_begins(&[(":status", "504")]).await, None, "no worker answers");
    not_held().await;
    answered.answer_part("late", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_cannot_be_read_are_refused() {
    let (_worker, picker) = over_one(|_| ()).await;
    let names: Vec<_> = (0..40_000).map(|i| format!("a{i}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let mut exchange = picker.exchange().await;
    exchange.begin(Begin { headers: &many, ..Begin::default() }).await;
    let (code, body) = exchange.refused().await;
    assert_eq!(
        (code, &body["error"]["message"]),
        (431, &"too many headers, expected fewer".into())
    );
    let mut exchange = picker.exchange().await;
    exchange.begin(Begin { headers: &[("x-session-id", "ä")], ..Begin::default() }).await;
    exchange.body(&completion(1, 16)).await;
    let (code, body) = exchange.refused().await;
    assert_eq!((code, &body["error"]["param"]), (400, &"x-session-id".into()), "{body}");
}
