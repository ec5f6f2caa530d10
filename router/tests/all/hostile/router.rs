//! A router process with limits, a worker for it, and a good client.

use super::ALONE;
use crate::common::{SPEEDUP, TestWorker, ask, client, prompt, request, worker_config};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::MutexGuard;

/// A router process.
pub struct Router {
    pub address: SocketAddr,
    metrics: SocketAddr,
    child: Child,
    /// What it says from when it serves on.
    log: Arc<Mutex<String>>,
    _folder: tempfile::TempDir,
    worker: TestWorker,
    _alone: MutexGuard<'static, ()>,
}

impl Router {
    /// With these lines of `[listener]`.
    pub async fn with(limits: &str) -> Self {
        Self::of(&format!("[listener]\n{limits}\n")).await
    }

    /// With these lines at the end of its file.
    pub async fn of(lines: &str) -> Self {
        let alone = ALONE.lock().await;
        let worker = TestWorker::start(worker_config());
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = format!(
            "policy = \"least-loaded\"\nspeedup = {SPEEDUP}\nworkers = [\"{}\"]\n\
             metrics_listen = \"{free}\"\n{lines}",
            worker.url()
        );
        std::fs::write(folder.path().join("r.toml"), file).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_router"));
        command.current_dir(folder.path()).args(["--config", "r.toml"]);
        command.env("RUST_LOG", "info").env("NO_COLOR", "1").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut address = None;
        let mut line = String::new();
        while !line.contains("joined") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it served");
            if line.contains("listening") {
                let at = line.split("address=").nth(1).and_then(|at| at.split(' ').next());
                address = Some(at.unwrap().parse().unwrap());
            }
        }
        let said = Arc::<Mutex<String>>::default();
        let saying = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut line = String::new();
            while log.read_line(&mut line).is_ok_and(|length| length > 0) {
                saying.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self {
            address: address.unwrap(),
            metrics: free,
            child,
            log: said,
            _folder: folder,
            worker,
            _alone: alone,
        }
    }

    /// The memory that the process holds, in MiB.
    pub fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1_024.0
    }

    /// The value of a metric; 0 before it was first counted.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.metrics();
        let value = page.lines().find_map(|line| line.strip_prefix(name));
        value.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// The whole page of metrics.
    pub fn metrics(&self) -> String {
        let mut socket = std::net::TcpStream::connect(self.metrics).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        socket.read_to_string(&mut page).unwrap();
        page
    }

    /// What it said since it serves.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its worker dies.
    pub fn kill_worker(&mut self) {
        self.worker.kill();
    }

    /// How often the public listener ended something because of this limit.
    pub fn ended(&self, why: &str) -> f64 {
        self.metric(&format!("warmpath_router_connections_ended_total{{why=\"{why}\"}}"))
    }

    /// Waits until this is so.
    pub async fn until(&self, is: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..60 {
            if is(self) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Requests of a good client, one after the other, at least 60, until this is set. The time of the
    /// slowest but one in a hundred.
    async fn good(&self, until: &AtomicBool) -> Duration {
        let client = client(&format!("http://{}", self.address));
        let mut times = Vec::new();
        for i in 0.. {
            if i >= 60 && until.load(Ordering::Relaxed) {
                break;
            }
            let began = Instant::now();
            ask(client.clone(), request(prompt(i, 64), 3)).await.unwrap();
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times[times.len() - 1 - times.len() / 100]
    }

    /// Plays a hostile client beside a good one. The good one's slowest request takes at most twice the
    /// time that it takes alone, and the process grows by less than this many MiB.
    pub async fn beside<T>(&self, name: &str, mib: f64, hostile: impl Future<Output = T>) -> T {
        let alone = self.good(&AtomicBool::new(true)).await;
        let before = self.memory();
        let over = AtomicBool::new(false);
        let (beside, done) = tokio::join!(self.good(&over), async {
            let done = hostile.await;
            over.store(true, Ordering::Relaxed);
            (done, self.memory())
        });
        let (done, during) = done;
        let grown = during.max(self.memory()) - before;
        println!(
            "{name}: p99 {:.1} ms alone, {:.1} ms beside it; {grown:.1} MiB more",
            alone.as_secs_f64() * 1e3,
            beside.as_secs_f64() * 1e3
        );
        // Other tests share the machine.
        let floor = Duration::from_millis(250);
        assert!(beside <= (2 * alone).max(floor), "{name}: {alone:?} alone, {beside:?} beside it");
        assert!(grown < mib, "{name}: {grown} MiB more");
        done
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
