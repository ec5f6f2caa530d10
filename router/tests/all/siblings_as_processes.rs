//! Two processes before one worker, by their flags and files, and what an operator sees of them.

use super::binary::{Running, complaint, documented, free_port, page_with, router};
use crate::common::{SPEEDUP, TestWorker, worker_config};
use std::time::{Duration, Instant};

/// What a command of `router admin` prints, once it has this.
fn says(running: &Running, args: &[&str], has: impl Fn(&str) -> bool) -> String {
    let folder = std::env::temp_dir();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let args = [&["admin", "--target", &running.admin], args].concat();
        let output = router(&folder, &args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        if has(&text) {
            return text;
        }
        assert!(Instant::now() < until, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_processes_follow_each_other_and_say_so() {
    let worker = TestWorker::start(worker_config());
    let (folder, metrics) = (tempfile::tempdir().unwrap(), free_port());
    let [first, second] = [free_port(), free_port()];
    let [first_url, second_url] = [&first, &second].map(|address| format!("http://{address}"));
    let (url, speedup) = (worker.url(), SPEEDUP.to_string());
    let base = ["--worker", &url, "--speedup", &speedup];
    let own = ["--siblings-listen", &first, "--metrics-listen", &metrics];
    let others = ["--sibling", &first_url, "--sibling", &second_url];
    let one = Running::over(folder.path(), &[&base[..], &own, &others].concat());
    let file = format!("[siblings]\nlisten = \"{second}\"\nurls = [\"{first_url}\"]\n");
    std::fs::write(folder.path().join("r.toml"), file).unwrap();
    let two = Running::over(folder.path(), &[&base[..], &["--config", "r.toml"]].concat());
    let count = |text: &str, what: &str| text.matches(what).count();
    let json = says(&one, &["siblings", "--json"], |text| {
        count(text, "\"followed\"") == 1 && count(text, "\"same\"") == 1
    });
    assert!(json.contains("\"this router itself\""), "{json}");
    let wide = ["siblings", "--width", "200"];
    let text = says(&two, &wide, |text| text.contains("routers that follow this one: 1;"));
    assert!(text.starts_with("shares bookings; "), "{text}");
    assert!(text.contains(" followed ") && text.contains(&first_url), "{text}");
    let page = page_with(&metrics, "\nwarmpath_router_siblings 1\n");
    assert!(page.contains("\nwarmpath_router_sibling_bookings 0\n"), "{page}");
    documented(&page);
    // The other one is gone.
    drop(two);
    says(&one, &wide, |text| text.contains(" lost "));
}

#[test]
fn a_bad_setting_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let base = ["--policy", "kv-aware", "--worker", "http://127.0.0.1:1"];
    let with = |more: &[&str]| {
        complaint(&router(folder.path(), &[&base[..], more].concat()).output().unwrap())
    };
    let line = with(&["--siblings-listen", "0.0.0.0:0"]);
    let open = "is not a loopback address, expected one, [siblings.tls] or --insecure-bind";
    assert_eq!(line, format!("siblings.listen: 0.0.0.0:0 {open}"));
    let line = with(&["--sibling", "here"]);
    assert!(line.starts_with("siblings.urls[0]: 'here', expected http://host:port"), "{line}");
    let line = with(&["--sibling", "https://h:1"]);
    assert!(line.contains("is https, but there is no [upstream_tls]"), "{line}");
    let line = with(&["--sibling", "http://h:1", "--siblings-share", "load-reports"]);
    let why = "siblings.share: 'load-reports' with siblings.urls, expected 'bookings'";
    assert_eq!(line, why);
    let tls = "[siblings.tls]\ncert = \"c.pem\"\nkey = \"c.key\"\n";
    std::fs::write(folder.path().join("r.toml"), tls).unwrap();
    let line = with(&["--config", "r.toml"]);
    assert!(line.starts_with("r.toml:1: siblings.tls.client_ca: missing, expected"), "{line}");
    let unknown = "[siblings]\nurl = \"http://h:1\"\n";
    std::fs::write(folder.path().join("r.toml"), unknown).unwrap();
    let line = with(&["--config", "r.toml"]);
    assert!(line.starts_with("r.toml:2: siblings.url: unknown field `url`"), "{line}");
}
