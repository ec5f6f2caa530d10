//! Ctrl-c in a live run.

use tokio::signal::unix::{self, SignalKind};
use warmpath_launch::terminal;

/// The exit status of shells: 128 plus the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Returns at the first ctrl-c or SIGTERM. After that, another one ends the program at once.
pub async fn interrupted() {
    signal().await;
    terminal::say("interrupted: waiting for the answers under way; ctrl-c again ends at once");
    tokio::spawn(async {
        signal().await;
        std::process::exit(INTERRUPTED);
    });
}

async fn signal() {
    let terminated = async {
        match unix::signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        Some(()) = terminated => {}
        // If signals cannot be received, wait forever.
        else => std::future::pending().await,
    }
}
