//! A report in a real browser, if the machine has one: Chromium without a window.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Hears what goes wrong from the first moment on.
const LISTENS: &str = r#"<head><script>
var wrong = [];
addEventListener("error", function (event) { wrong.push(String(event.message)); });
addEventListener("securitypolicyviolation", function (event) { wrong.push("blocked " + event.blockedURI); });
</script>"#;

/// Does what a reader does: sorts a table by keyboard and by click, points at a value, and looks what is drawn.
const READS: &str = r#"<script>
addEventListener("load", function () {
  var table = document.getElementById("table1"), body = table.tBodies[0];
  var head = table.tHead.rows[table.tHead.rows.length - 1];
  var at = Array.from(body.rows[0].cells).findIndex(function (cell) { return cell.hasAttribute("data-v"); });
  function numbers() {
    return Array.from(body.rows).map(function (row) { return Number(row.cells[at].getAttribute("data-v")); });
  }
  var button = head.cells[at].querySelector("button"), before = numbers();
  button.focus();
  var focused = document.activeElement === button;
  button.click();
  var up = numbers(), state = head.cells[at].getAttribute("aria-sort");
  button.click();
  var down = numbers();
  var figures = Array.from(document.querySelectorAll("figure"));
  function isDrawn(figure) { return figure.querySelector("svg").getBoundingClientRect().height > 50; }
  var value = document.querySelector("figure .v");
  value.dispatchEvent(new PointerEvent("pointerenter"));
  var result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify({
    wrong: wrong, before: before, up: up, down: down, state: state, focused: focused,
    requests: performance.getEntriesByType("resource").map(function (entry) { return entry.name; }),
    figures: figures.length, drawn: figures.filter(isDrawn).length,
    tables: document.querySelectorAll("figure details table tbody tr").length,
    tip: document.getElementById("tip").textContent,
    ground: getComputedStyle(document.body).backgroundColor,
    arrow: getComputedStyle(button, "::after").content,
    data: Array.from(document.querySelectorAll("figure details")).filter(function (part) {
      return part.getBoundingClientRect().height > 0;
    }).length,
    wide: document.documentElement.scrollWidth - innerWidth
  });
  document.body.appendChild(result);
});
</script></body>"#;

/// The browser of this machine.
pub fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    let all = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.into_iter().find(|path| path.is_file())
}

/// Opens a report in a window of this width and in a colour scheme. Returns what its reader found.
pub fn open(folder: &Path, html: &str, width: u32, is_dark: bool) -> Value {
    let page = html.replacen("<head>", LISTENS, 1).replacen("</body>", READS, 1);
    assert!(page.len() > html.len() + LISTENS.len(), "both scripts are in it");
    let file = folder.join("page.html");
    std::fs::write(&file, page).expect("a file can be written");
    let output = Command::new("timeout")
        .args(["--kill-after=5", "60"])
        .arg(browser().expect("a browser"))
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!is_dark)))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("the browser starts");
    let (dom, log) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!log.contains("CONSOLE"), "the console is silent: {log}");
    let found =
        dom.split_once("<pre id=\"result\">").and_then(|(_, after)| after.split_once("</pre>"));
    let (found, _) = found.unwrap_or_else(|| panic!("no result: {log}"));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&found).expect("JSON")
}
