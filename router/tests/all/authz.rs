//! Who may call what: every call of every service that any process knows, by every identity, at every
//! listener. What is not listed here must be denied.

use crate::common::certificates::Authority;
use crate::common::*;
use prost::Message;
use prost_types::FileDescriptorSet;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::probes::Listener;
use warmpath_proto::raw::{Bytes, RawCodec};
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::{AbortRequest, GenerateRequest};
use warmpath_proto::{
    ADMIN_DESCRIPTOR_SET, ENGINE_DESCRIPTOR_SET, EXT_PROC_DESCRIPTOR_SET, FILE_DESCRIPTOR_SET,
    SIBLINGS_DESCRIPTOR_SET, VLLM_DESCRIPTOR_SET, transport,
};
use warmpath_router::RouterConfig;
use warmpath_router::ext_proc_config::ExtProcConfig;
use warmpath_router::secret::Secret;
use warmpath_router::share::SiblingsConfig;
use warmpath_router::tenants::TenantConfig;
use warmpath_worker_sim::WorkerConfig;

/// Every call, as `(service, call)`.
fn calls() -> BTreeSet<(String, String)> {
    let sets = [
        VLLM_DESCRIPTOR_SET,
        ENGINE_DESCRIPTOR_SET,
        FILE_DESCRIPTOR_SET,
        ADMIN_DESCRIPTOR_SET,
        SIBLINGS_DESCRIPTOR_SET,
        EXT_PROC_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let files = sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap().file);
    let mut calls = BTreeSet::new();
    for file in files {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            let methods = service.method.iter().map(|method| method.name().to_owned());
            calls.extend(methods.map(|method| (name.clone(), method)));
        }
    }
    calls
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Identity {
    /// Nothing, in plain text or TLS.
    NoToken,
    UnknownToken,
    TenantA,
    TenantB,
    /// A certificate of the fleet's CA: a worker's, or the router's to its workers.
    FleetCertificate,
    /// A certificate of the operators' CA.
    Operator,
}

use Identity::*;

const ALL: [Identity; 6] = [NoToken, UnknownToken, TenantA, TenantB, FleetCertificate, Operator];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// The service answered, even if only that the message is empty.
    Reached,
    /// UNAUTHENTICATED.
    Refused,
    /// The listener does not have this service.
    Absent,
    /// There is no connection.
    Closed,
}

use Outcome::*;

/// What must come of a call.
fn expected(listener: Listener, service: &str, identity: Identity) -> Outcome {
    let probe = service.starts_with("grpc.");
    match listener {
        Listener::Router if probe => Reached,
        Listener::Router => match (service, identity) {
            ("vllm.Inference" | "vllm.Control", TenantA | TenantB) => Reached,
            ("vllm.Inference" | "vllm.Control", _) => Refused,
            _ => Absent,
        },
        Listener::Admin if identity != Operator => Closed,
        Listener::Siblings | Listener::Worker | Listener::Pool if identity != FleetCertificate => {
            Closed
        }
        _ if probe || listener.services().contains(&service) => Reached,
        _ => Absent,
    }
}

/// What comes of a call with an empty message.
async fn outcome(channel: &Channel, path: &str, identity: Identity) -> Outcome {
    let mut client = Grpc::new(channel.clone());
    if client.ready().await.is_err() {
        return Closed;
    }
    let mut request = Request::new(Bytes::new());
    let token = match identity {
        UnknownToken => Some("Bearer token-of-no-tenant"),
        TenantA => Some("Bearer the-token-of-tenant-a"),
        TenantB => Some("Bearer the-token-of-tenant-b"),
        NoToken | FleetCertificate | Operator => None,
    };
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token.parse().unwrap());
    }
    let path = PathAndQuery::try_from(path).unwrap();
    // A unary call has the same form on the wire. A stream that says nothing yet was reached.
    let answer = async {
        let answer = client.server_streaming(request, path, RawCodec::default()).await?;
        answer.into_inner().message().await
    };
    match tokio::time::timeout(Duration::from_millis(500), answer).await {
        Ok(Err(status)) if is_broken(&status) => Closed,
        Ok(Err(status)) if status.code() == Code::Unauthenticated => Refused,
        Ok(Err(status)) if status.code() == Code::Unimplemented && status.message().is_empty() => {
            Absent
        }
        _ => Reached,
    }
}

fn is_broken(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

fn tenants() -> Vec<TenantConfig> {
    let tenant = |name: &str| TenantConfig {
        name: name.to_owned(),
        token: Secret::new(format!("the-token-of-tenant-{name}")),
        group: None,
    };
    vec![tenant("a"), tenant("b")]
}

/// A router with its admin listener and a worker, all with TLS.
struct Fleet {
    router: TestRouter,
    worker: TestWorker,
    admin: String,
    siblings: String,
    picker: String,
    authorities: [Authority; 3],
    _folder: tempfile::TempDir,
}

impl Fleet {
    async fn start(tenants: Vec<TenantConfig>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authorities = ["edge", "fleet", "operators"];
        let authorities = authorities.map(|name| Authority::new(folder.path(), name));
        let [edge, fleet, operators] = &authorities;
        let tls = Some(fleet.listener("worker", Some(fleet)));
        let worker = TestWorker::start(WorkerConfig { tls, ..worker_config() });
        let secret = (!tenants.is_empty()).then(|| Secret::new("secret"));
        let config = RouterConfig {
            speedup: SPEEDUP,
            tenants,
            secret,
            tls: Some(edge.listener("router", None)),
            admin_tls: Some(operators.listener("admin", Some(operators))),
            siblings: SiblingsConfig {
                tls: Some(fleet.listener("siblings", Some(fleet))),
                ..SiblingsConfig::default()
            },
            upstream_tls: Some(fleet.reach(Some((fleet, "router-to-worker")))),
            ..RouterConfig::new(vec![worker.tls_url()], PolicyConfig::LeastLoaded)
        };
        let router = TestRouter::start(config).await;
        router.wait(|status| status.joined.len() == 1).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = format!("https://{}", listener.local_addr().unwrap());
        let server = router.server.clone();
        tokio::spawn(async move { server.serve_admin(listener, std::future::pending()).await });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let siblings = format!("https://{}", listener.local_addr().unwrap());
        let server = router.server.clone();
        tokio::spawn(async move { server.serve_siblings(listener, std::future::pending()).await });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = listener.local_addr().unwrap();
        let server = router.server.clone();
        tokio::spawn(async move {
            let config = ExtProcConfig { listen, port: 8_000 };
            server.serve_picker(config, listener, std::future::pending()).await
        });
        let picker = format!("http://{listen}");
        Self { router, worker, admin, siblings, picker, authorities, _folder: folder }
    }

    /// A connection to a listener with what the identity has.
    fn channel(&self, listener: Listener, identity: Identity) -> Channel {
        let [edge, fleet, operators] = &self.authorities;
        let (url, of) = match listener {
            Listener::Router => (self.router.url.replace("http:", "https:"), edge),
            Listener::Admin => (self.admin.clone(), operators),
            Listener::Siblings => (self.siblings.clone(), fleet),
            // Plain text: Envoy has no certificate of its own.
            Listener::Picker => (self.picker.clone(), fleet),
            Listener::Worker | Listener::Pool => (self.worker.tls_url(), fleet),
        };
        let own = match identity {
            FleetCertificate => Some((fleet, "some-worker")),
            Operator => Some((operators, "operator")),
            _ => None,
        };
        transport::channel_with(&url, &Some(of.reach(own).load().unwrap()).into()).unwrap()
    }

    /// Calls that come to something else than `expected` says.
    async fn wrong(
        &self,
        listener: Listener,
        expected: impl Fn(Listener, &str, Identity) -> Outcome,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for identity in ALL {
            let channel = self.channel(listener, identity);
            for (service, call) in calls() {
                let outcome = outcome(&channel, &format!("/{service}/{call}"), identity).await;
                let expected = expected(listener, &service, identity);
                if outcome != expected {
                    let what = format!("{service}/{call} by {identity:?} at {listener:?}");
                    wrong.push(format!("{what}: {outcome:?}, expected {expected:?}"));
                }
                // A connection that is not made for one call is not made for another.
                if outcome == Closed && expected == Closed {
                    break;
                }
            }
        }
        wrong
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_listed_is_denied() {
    assert_eq!(calls().len(), 59, "{:?}", calls());
    let fleet = Fleet::start(tenants()).await;
    let listeners =
        [Listener::Router, Listener::Admin, Listener::Siblings, Listener::Picker, Listener::Worker];
    for listener in listeners {
        let wrong = fleet.wrong(listener, expected).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    // Calls that no service has.
    for (identity, expected) in [(NoToken, Refused), (UnknownToken, Refused), (TenantA, Absent)] {
        let channel = fleet.channel(Listener::Router, identity);
        assert_eq!(outcome(&channel, "/vllm.Inference/Other", identity).await, expected);
        assert_eq!(outcome(&channel, "/vllm.Other/Generate", identity).await, Absent);
    }
    // The control of the table: one that allows an identity what it must not do is found to be wrong.
    let allows = |listener, service: &str, identity| match (service, identity) {
        ("vllm.Control", UnknownToken) => Reached,
        _ => expected(listener, service, identity),
    };
    let wrong = fleet.wrong(Listener::Router, allows).await;
    let control = calls().iter().filter(|(service, _)| service == "vllm.Control").count();
    assert_eq!(wrong.len(), control, "{wrong:#?}");
    let all = "by UnknownToken at Router: Refused, expected Reached";
    assert!(wrong.iter().all(|line| line.ends_with(all)), "{wrong:#?}");
}

/// Without tenants no call needs a token: the same calls that were denied above are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tenants_the_same_calls_are_served() {
    let fleet = Fleet::start(Vec::new()).await;
    let wrong = fleet.wrong(Listener::Router, expected).await;
    let is_served = |service: &str| Listener::Router.services().contains(&service);
    let vllm = calls().iter().filter(|(service, _)| is_served(service)).count();
    assert_eq!(wrong.len(), vllm * 4, "{wrong:#?}");
    assert!(wrong.iter().all(|line| line.ends_with("Reached, expected Refused")), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_cannot_end_anothers_request() {
    let worker = TestWorker::start(worker_config());
    let config = RouterConfig {
        tenants: tenants(),
        secret: Some(Secret::new("secret")),
        ..router_config(std::slice::from_ref(&worker), PolicyConfig::LeastLoaded)
    };
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    fn of<T>(tenant: &str, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = format!("Bearer the-token-of-tenant-{tenant}");
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        request
    }
    let named = |name: &str| GenerateRequest {
        request_id: name.to_owned(),
        ..request(prompt(1, 40), 100_000)
    };
    let mut client = router.client();
    let _mine = client.generate_stream(of("a", named("mine"))).await.unwrap();
    let mut control = ControlClient::new(transport::channel(&router.url).unwrap());
    let abort = || AbortRequest { request_ids: vec!["mine".to_owned()] };
    control.abort(of("b", abort())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(router.server.counts().in_flight, 1, "it goes on");
    control.abort(of("a", abort())).await.unwrap();
    router.wait_counts(|counts| counts.in_flight == 0).await;
}
