//! Ending a live run early.

use tokio::signal::unix::{self, SignalKind};

/// As shells have it: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Ends at the first ctrl-c or SIGTERM. From then on another one ends the program at once.
pub async fn interrupted() {
    signal().await;
    eprintln!("interrupted: waiting for the answers under way; ctrl-c again ends at once");
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
        // Where no signal can be heard, none comes.
        else => std::future::pending().await,
    }
}
