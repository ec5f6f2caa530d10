//! A heart on a thread of its own. It sleeps in its command channel until the next instant at which
//! something is due: the thread's timer is good to some 60 µs where tokio's ticks in milliseconds, and a
//! speedup multiplies every error.
//!
//! There is one wake-up key, worked out afresh after each turn. Before a command is handled, what is due
//! by then is done.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant as WallInstant;
use tokio::sync::oneshot;

/// Commands that are handled before the heart's time is looked at again.
const TURN: usize = 64;

pub trait Heart: Send + 'static {
    type Command: Send;

    fn next_wake(&self) -> Option<WallInstant>;
    /// Does what is due.
    fn advance(&mut self);
    fn handle(&mut self, command: Self::Command);
    /// Tells the world what came of the turn. False: it was the last.
    fn end_turn(&mut self) -> bool;
}

/// Starts the thread. It ends with the heart's last turn, or when every sender of commands is gone;
/// `done` is then told (a panic drops it).
pub fn start<H: Heart>(
    name: String,
    mut heart: H,
    done: oneshot::Sender<()>,
) -> std::io::Result<Sender<H::Command>> {
    let (sender, commands) = std::sync::mpsc::channel();
    std::thread::Builder::new().name(name).spawn(move || {
        run(&mut heart, &commands);
        let _ = done.send(());
    })?;
    Ok(sender)
}

fn run<H: Heart>(heart: &mut H, commands: &Receiver<H::Command>) {
    loop {
        let command = match heart.next_wake() {
            Some(wake) => {
                let wait = wake.saturating_duration_since(WallInstant::now());
                match commands.recv_timeout(wait) {
                    Ok(command) => Some(command),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            None => match commands.recv() {
                Ok(command) => Some(command),
                Err(_) => return,
            },
        };
        heart.advance();
        if let Some(command) = command {
            heart.handle(command);
            for _ in 1..TURN {
                let Ok(command) = commands.try_recv() else { break };
                heart.handle(command);
            }
        }
        if !heart.end_turn() {
            return;
        }
    }
}
