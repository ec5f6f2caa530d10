//! Who may call, and how much.

use super::client::{get, post, post_with};
use super::{CHAT, HttpRouter, cached, chat};
use crate::common::{LIMIT, TestWorker, within, worker_config};
use std::time::Duration;
use warmpath_router::RouterConfig;
use warmpath_router::limits::ListenerConfig;
use warmpath_router::secret::Secret;
use warmpath_router::tenants::TenantConfig;

const A: (&str, &str) = ("authorization", "Bearer token-of-tenant-a");
const B: (&str, &str) = ("authorization", "Bearer token-of-tenant-b");

fn two_tenants(config: &mut RouterConfig) {
    let tenant = |(name, token): (&str, &str)| TenantConfig {
        name: name.to_owned(),
        token: Secret::new(token),
        group: None,
    };
    let all = [("a", "token-of-tenant-a"), ("b", "token-of-tenant-b")];
    config.tenants = all.map(tenant).to_vec();
    config.secret = Some(Secret::new("a-secret"));
    config.http.reset_by = vec!["a".to_owned()];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_names_the_tenant_and_tenants_share_no_cache() {
    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, two_tenants).await;
    let body = chat('t', 100, 2).to_string();
    for path in [CHAT, "/v1/completions", "/tokenize", "/detokenize", "/reset_prefix_cache"] {
        let reply = post(router.at, path, &body).await;
        assert_eq!(reply.status, 401, "{path}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert_eq!(reply.json()["error"]["code"], "invalid_api_key");
    }
    for path in ["/v1/models", "/metrics"] {
        assert_eq!(get(router.at, path).await.status, 401, "{path}");
    }
    assert_eq!(get(router.at, "/health").await.status, 200, "probes have no token");
    let wrong = [("authorization", "Bearer token-of-tenant-c")];
    assert_eq!(post_with(router.at, CHAT, &wrong, &body).await.status, 401);
    let (at, body) = (router.at, &*body);
    let of = |tenant| async move { cached(&post_with(at, CHAT, &[tenant], body).await.json()) };
    let (first, other, again) = (of(A).await, of(B).await, of(A).await);
    assert_eq!((first, other), (0, 0));
    assert!(again > 90, "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_tenant_may_empty_the_caches() {
    let workers = [0; 2].map(|_| TestWorker::start(worker_config()));
    let router = HttpRouter::over(&workers, two_tenants).await;
    let at = router.at;
    let of = |letter: char| async move {
        let body = chat(letter, 100, 2).to_string();
        cached(&post_with(at, CHAT, &[B], &body).await.json())
    };
    for letter in ['p', 'q', 'r', 's'] {
        assert_eq!(of(letter).await, 0);
        assert!(of(letter).await > 90);
    }
    let path = "/reset_prefix_cache?reset_external=true";
    let refused = post_with(router.at, path, &[B], "").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(of('p').await > 90, "nothing was emptied");
    let done = post_with(router.at, path, &[A], "").await;
    assert_eq!((done.status, &*done.body), (200, ""), "{done:?}");
    for letter in ['p', 'q', 'r', 's'] {
        assert_eq!(of(letter).await, 0, "{letter}");
    }
    router.idle().await;
    // The index follows what the workers say.
    within(async {
        while router.server.counts().runs > 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_so_many_calls_under_way() {
    let workers = [TestWorker::start(worker_config())];
    let few = ListenerConfig { streams_per_tenant: 2, ..ListenerConfig::default() };
    let router = HttpRouter::over(&workers, |config| {
        two_tenants(config);
        config.listener = few;
    })
    .await;
    let at = router.at;
    let long = chat('l', 40, 4_000).to_string();
    let mut busy = Vec::new();
    for _ in 0..2 {
        let body = long.clone();
        busy.push(tokio::spawn(async move { post_with(at, CHAT, &[A], &body).await }));
    }
    within(async {
        while router.server.counts().in_flight < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let short = chat('m', 40, 1).to_string();
    let refused = post_with(at, CHAT, &[A], &short).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{refused:?}");
    assert_eq!(post_with(at, CHAT, &[B], &short).await.status, 200, "others have their own");
    for call in busy {
        let done = tokio::time::timeout(LIMIT, call).await.unwrap().unwrap();
        assert_eq!(done.status, 200);
    }
    assert_eq!(post_with(at, CHAT, &[A], &short).await.status, 200);
}
