//! Several routers before one fleet: what one sends, the others count.

use crate::common::certificates::Authority;
use crate::common::fake::Fake;
use crate::common::sibling::{FakeSibling, cancelled, hello, sent};
use crate::common::*;
use prost::Message as _;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tonic::Streaming;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::replay;
use warmpath_core::routing::siblings::Sharing;
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_proto::v1::{
    AddWorkerRequest, ExplainRequest, ListSiblingsRequest, ListSiblingsResponse, Sibling,
};
use warmpath_proto::vllm::GenerateResponse;
use warmpath_router::secret::Secret;
use warmpath_router::share::SiblingsConfig;
use warmpath_router::{Counts, RouterConfig};

/// A router that its siblings can follow.
struct Told {
    router: TestRouter,
    telling: JoinHandle<()>,
    workers: Vec<String>,
}

impl Told {
    /// Its clients and siblings see nothing more of it.
    fn die(self) {
        self.telling.abort();
        self.router.stop();
    }

    /// Sends a request that goes on until it is dropped. Gives the worker's URL too.
    async fn send(&self, seed: u64) -> (String, Streaming<GenerateResponse>) {
        let mut client = self.router.client();
        let answer = within(client.generate_stream(request(prompt(seed, 200), 100_000)));
        let answer = answer.await.unwrap();
        let worker = answer.metadata().get("x-warmpath-worker").unwrap().to_str().unwrap();
        let number: usize = worker[1..].parse().unwrap();
        (self.workers[number].clone(), answer.into_inner())
    }

    async fn siblings(&self) -> ListSiblingsResponse {
        let request = tonic::Request::new(ListSiblingsRequest {});
        self.router.server.admin().list_siblings(request).await.unwrap().into_inner()
    }

    async fn wait_siblings(&self, is: impl Fn(&[Sibling]) -> bool) -> Vec<Sibling> {
        within(async {
            loop {
                let all = self.siblings().await.siblings;
                if is(&all) {
                    return all;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    async fn wait_of_siblings(&self, number: usize) -> Counts {
        self.router.wait_counts(|counts| counts.of_siblings == number).await
    }
}

/// Routers before the same workers, each with its own order of them. Each is configured with the addresses of
/// all, so it finds itself too.
async fn routers<const N: usize>(
    workers: &[String],
    share: bool,
    change: impl Fn(usize, &mut RouterConfig),
) -> [Told; N] {
    let mut listeners = Vec::new();
    let mut urls = Vec::new();
    for _ in 0..N {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        urls.push(format!("http://{}", listener.local_addr().unwrap()));
        listeners.push(listener);
    }
    let mut all = Vec::new();
    for (i, listener) in listeners.into_iter().enumerate() {
        let mut workers = workers.to_vec();
        let first = i % workers.len();
        workers.rotate_left(first);
        let mut config = RouterConfig::new(workers, PolicyConfig::LeastLoaded);
        config.speedup = SPEEDUP;
        if share {
            config.siblings = SiblingsConfig { urls: urls.clone(), ..Default::default() };
        }
        change(i, &mut config);
        let workers = config.workers.clone();
        let router = TestRouter::start(config).await;
        let server = router.server.clone();
        let telling = tokio::spawn(async move {
            server.serve_siblings(listener, std::future::pending()).await.unwrap();
        });
        router.wait(|status| status.joined.len() == workers.len()).await;
        all.push(Told { router, telling, workers });
    }
    let all: [Told; N] = all.try_into().unwrap_or_else(|_| unreachable!("as many as asked for"));
    if share {
        for told in &all {
            told.wait_siblings(|all| followed(all) == N - 1).await;
        }
    }
    all
}

fn followed(all: &[Sibling]) -> usize {
    all.iter().filter(|sibling| sibling.standing == "followed").count()
}

fn urls(workers: &[TestWorker]) -> Vec<String> {
    workers.iter().map(TestWorker::url).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_at_two_routers_spreads_only_if_they_share() {
    let workers: Vec<_> = (0..4).map(|_| TestWorker::start(worker_config())).collect();
    for share in [true, false] {
        let routers: [Told; 2] = routers(&urls(&workers), share, |i, config| {
            // Both begin with the same worker.
            config.workers.rotate_right(i);
        })
        .await;
        let mut streams = Vec::new();
        let mut used = Vec::new();
        for i in 0..4 {
            let (url, stream) = routers[i % 2].send(i as u64).await;
            used.push(url);
            streams.push(stream);
            if share {
                routers[1 - i % 2].wait_of_siblings(i / 2 + 1).await;
            }
        }
        let used: BTreeSet<_> = used.into_iter().collect();
        assert_eq!(used.len(), if share { 4 } else { 2 }, "{used:?}");
        drop(streams);
        for told in &routers {
            told.wait_of_siblings(0).await;
            told.router.wait_counts(|counts| counts.booked == 0).await;
        }
        let listed = routers[0].siblings().await;
        assert_eq!(listed.share, if share { "bookings" } else { "nothing" });
        assert_eq!(listed.followers, u32::from(share));
        // Sent, first token, cancelled, of two requests each.
        assert_eq!(listed.news_told, if share { 6 } else { 0 });
        assert!(listed.siblings.iter().all(|sibling| sibling.gaps == 0), "{listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_finds_itself_and_its_siblings_number_workers_as_they_like() {
    let workers: Vec<_> = (0..3).map(|_| TestWorker::start(worker_config())).collect();
    let [one, two, three] = routers(&urls(&workers), true, |_, _| ()).await;
    let all = one.wait_siblings(|all| followed(all) == 2).await;
    let itself: Vec<_> = all.iter().filter(|sibling| sibling.standing == "same").collect();
    assert_eq!((itself.len(), itself[0].why.as_str()), (1, "this router itself"));
    assert!(all.iter().all(|sibling| sibling.standing == "same" || sibling.same_names));
    // By the orders of the three, each would take its own first worker.
    let mut used = BTreeSet::new();
    let mut streams = Vec::new();
    for (i, told) in [&one, &two, &three].into_iter().enumerate() {
        let (url, stream) = told.send(i as u64).await;
        used.insert(url);
        streams.push(stream);
        for other in [&one, &two, &three] {
            let own = other.router.server.counts().booked;
            other.wait_of_siblings(i + 1 - own).await;
        }
    }
    assert_eq!(used.len(), 3, "{used:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_dies_leaves_no_bookings_behind() {
    let workers: Vec<_> = (0..2).map(|_| TestWorker::start(worker_config())).collect();
    let [one, two] = routers(&urls(&workers), true, |_, _| ()).await;
    let _streams = [two.send(1).await, two.send(2).await, two.send(3).await];
    one.wait_of_siblings(3).await;
    two.die();
    let begun = Instant::now();
    one.wait_of_siblings(0).await;
    one.wait_siblings(|all| followed(all) == 0).await;
    // Its feed ended. Whether one that goes on without a word is lost, another test shows.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// A router beside a sibling that a test plays, over a worker that takes nothing on.
async fn beside_a_fake() -> (Told, FakeSibling, String) {
    let worker = Fake { gate: Arc::new(RwLock::new(())), ..Fake::default() };
    let worker = worker.serve(SPEEDUP).await;
    let sibling = FakeSibling::default();
    let url = sibling.serve().await;
    let [told] = routers(std::slice::from_ref(&worker), false, |_, config| {
        config.siblings.urls = vec![url.clone()];
    })
    .await;
    (told, sibling, worker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_news_are_asked_for_again() {
    let (told, sibling, worker) = beside_a_fake().await;
    let feed = within(sibling.followed()).await;
    feed.begin(hello(7, SPEEDUP), 4, vec![sent(1, &worker)]);
    feed.news(5, vec![sent(2, &worker), sent(3, &worker)]);
    told.wait_of_siblings(3).await;
    feed.news(7, vec![cancelled(2)]);
    told.wait_of_siblings(2).await;
    // The end of one of them is lost. Another number tells, and all is told again.
    feed.news(9, vec![sent(4, &worker)]);
    let feed = within(sibling.followed()).await;
    assert_eq!(told.router.server.counts().of_siblings, 2, "what is not known to be over is kept");
    feed.begin(hello(7, SPEEDUP), 9, vec![sent(3, &worker), sent(4, &worker), sent(5, &worker)]);
    told.wait_of_siblings(3).await;
    let all = told.siblings().await.siblings;
    assert_eq!((all[0].gaps, all[0].under_way, all[0].news), (1, 3, 7), "{all:?}");
    // A heartbeat shows it as well.
    feed.beats(10);
    let _ = within(sibling.followed()).await;
    assert_eq!(told.siblings().await.siblings[0].gaps, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sibling_is_lost_after_three_heartbeats_that_do_not_come() {
    let (told, sibling, worker) = beside_a_fake().await;
    let feed = within(sibling.followed()).await;
    feed.begin(hello(7, SPEEDUP), 1, vec![sent(1, &worker)]);
    let beats = feed.beats(1);
    told.wait_of_siblings(1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(told.router.server.counts().of_siblings, 1, "it is there");
    beats.abort();
    let silent = Instant::now();
    told.wait_of_siblings(0).await;
    let after = silent.elapsed();
    assert!(
        (Duration::from_millis(2_400)..Duration::from_millis(6_000)).contains(&after),
        "{after:?}"
    );
    let all = told.wait_siblings(|all| all[0].standing == "lost").await;
    assert_eq!(all[0].why, "no message for 3.5 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_match_is_refused() {
    let (told, sibling, worker) = beside_a_fake().await;
    let feed = within(sibling.followed()).await;
    feed.begin(hello(7, 1.0), 1, vec![sent(1, &worker)]);
    let all = told.wait_siblings(|all| all[0].standing == "refused").await;
    assert_eq!(all[0].why, "speedup is 1, this router's is 20");
    assert_eq!(told.router.server.counts().of_siblings, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_on_a_worker_that_joins_later_are_counted_then() {
    let workers: Vec<_> = (0..2).map(|_| TestWorker::start(worker_config())).collect();
    let [one, two] = routers(&urls(&workers), true, |i, config| {
        if i == 1 {
            config.workers = vec![workers[0].url()];
        }
    })
    .await;
    let _streams = [one.send(1).await, one.send(2).await];
    let all = two.wait_siblings(|all| all.iter().any(|sibling| sibling.under_way == 2)).await;
    assert_eq!(all.iter().map(|sibling| sibling.elsewhere).sum::<u32>(), 1, "{all:?}");
    assert_eq!(two.router.server.counts().of_siblings, 1);
    let request = tonic::Request::new(AddWorkerRequest { url: workers[1].url() });
    two.router.server.admin().add_worker(request).await.unwrap();
    two.wait_of_siblings(2).await;
    two.wait_siblings(|all| all.iter().all(|sibling| sibling.elsewhere == 0)).await;
}

/// Blocks of a prompt that a router expects on its only worker.
async fn expected(told: &Told, prompt: Vec<u32>) -> u32 {
    let about = Some(About::GenerateRequest(request(prompt, 5).encode_to_vec()));
    let request = tonic::Request::new(ExplainRequest { about, tenant: String::new() });
    let answer = told.router.server.admin().explain(request).await.unwrap().into_inner();
    answer.candidates[0].overlap_by_tier.iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_with_different_secrets_share_loads_only() {
    for (secrets, blocks) in [(["a", "a"], 10), (["a", "b"], 0)] {
        let worker = Fake::default();
        let closed = Arc::clone(&worker.gate).write_owned().await;
        let url = worker.serve(SPEEDUP).await;
        let [one, two] = routers(&[url], true, |i, config| {
            config.policy = PolicyConfig::KvAware;
            config.secret = Some(Secret::new(secrets[i]));
        })
        .await;
        let mut client = one.router.client();
        let text = prompt(1, 170);
        let asked = request(text.clone(), 5);
        let asking = tokio::spawn(async move { client.generate_stream(asked).await.map(drop) });
        two.wait_of_siblings(1).await;
        assert_eq!(expected(&two, text).await, blocks, "with {secrets:?}");
        let sibling = two.wait_siblings(|all| followed(all) == 1).await;
        let sibling = sibling.iter().find(|sibling| sibling.standing == "followed").unwrap();
        assert_eq!(sibling.same_names, blocks > 0);
        drop(closed);
        asking.abort();
        two.wait_of_siblings(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_router_with_a_certificate_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [fleet, other] = ["fleet", "other"].map(|name| Authority::new(folder.path(), name));
    let worker = TestWorker::start(worker_config());
    let [one, two, stranger, plain] = routers(&[worker.url()], false, |i, config| {
        config.siblings.tls = Some(fleet.listener(&format!("router-{i}"), Some(&fleet)));
        config.siblings.share = Some(Sharing::Bookings);
        let own = if i == 2 { (&other, "stranger") } else { (&fleet, "router-to-fleet") };
        config.upstream_tls = Some(fleet.reach(Some(own)));
        if i == 3 {
            config.siblings.tls = None;
        }
    })
    .await;
    drop((two, stranger, plain));
    // The addresses are known only now.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = one.router.server.clone();
    tokio::spawn(async move { server.serve_siblings(listener, std::future::pending()).await });
    let _streams = one.send(1).await;
    for (own, url, standing) in [
        (Some((&fleet, "sibling")), format!("https://{address}"), "followed"),
        (Some((&fleet, "by-name")), format!("https://localhost:{}", address.port()), "followed"),
        (Some((&other, "of-others")), format!("https://{address}"), "lost"),
        (None, format!("https://{address}"), "lost"),
        (None, format!("http://{address}"), "lost"),
    ] {
        let mut config = router_config(std::slice::from_ref(&worker), PolicyConfig::LeastLoaded);
        config.upstream_tls = Some(fleet.reach(own));
        config.siblings.urls = vec![url.clone()];
        let router = TestRouter::start(config).await;
        router.wait(|status| status.joined.len() == 1).await;
        let telling = tokio::spawn(std::future::ready(()));
        let told = Told { router, telling, workers: Vec::new() };
        let why = |sibling: &Sibling| sibling.why != "not reached yet";
        let has = |all: &[Sibling]| all.iter().any(|s| s.standing == standing && why(s));
        told.wait_siblings(has).await;
        let number = usize::from(standing == "followed");
        told.wait_of_siblings(number).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_records_what_it_hears_and_the_record_replays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let workers: Vec<_> = (0..2).map(|_| TestWorker::start(worker_config())).collect();
    let [mut one, two] = routers(&urls(&workers), true, |i, config| {
        config.policy = PolicyConfig::KvAware;
        config.record = (i == 0).then(|| path.clone());
    })
    .await;
    for i in 0..20 {
        let told = if i % 2 == 0 { &one } else { &two };
        ask(told.router.client(), request(prompt(i % 3, 150), 4)).await.unwrap();
    }
    one.wait_of_siblings(0).await;
    one.router.stop();
    one.router.stopped().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let heard = text.lines().filter(|line| line.contains("\"sibling\"")).count();
    assert!(heard >= 30, "sent, first token, finished: {heard}");
    let replayed = replay(text.lines()).unwrap();
    assert_eq!((replayed.decisions, replayed.complete), (10, true));
}

/// It tells nothing, but takes what workers report beyond its own bookings for the work of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_may_lean_on_load_reports() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let workers = [TestWorker::start(worker_config())];
    let mut config = router_config(&workers, PolicyConfig::LeastLoaded);
    config.siblings.share = Some(Sharing::LoadReports);
    config.record = Some(path.clone());
    let mut router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    ask(router.client(), request(prompt(1, 20), 3)).await.unwrap();
    router.stop();
    router.stopped().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let header = text.lines().next().unwrap();
    assert!(header.contains("\"siblings\":{\"tell\":false,\"read_reports\":true}"), "{header}");
    assert!(replay(text.lines()).unwrap().complete);
}
