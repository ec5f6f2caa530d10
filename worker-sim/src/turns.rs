//! An engine or a pool on a thread of its own. It sleeps in its command channel until something is
//! due. A thread's timer is precise to about 60 µs. Tokio's timer ticks in milliseconds, and a
//! speedup multiplies every error.
//!
//! The next wake-up is computed after each turn. Before a command is handled, everything that is
//! due by then is done.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant as WallInstant;
use tokio::sync::oneshot;

/// Commands in one turn. Then the time is looked at again.
const TURN: usize = 64;

/// An engine or a pool, as its thread sees it.
pub trait Timed: Send + 'static {
    type Command: Send;

    /// When something is due next.
    fn next_wake(&self) -> Option<WallInstant>;
    /// Does everything that is due.
    fn advance(&mut self);
    /// Takes one command.
    fn handle(&mut self, command: Self::Command);
    /// Publishes the results of the turn. False: it was the last turn.
    fn end_turn(&mut self) -> bool;
}

/// Starts the thread. It ends with the last turn, or when every sender of commands is gone. `done`
/// is then sent; a panic drops it.
pub fn start<T: Timed>(
    name: String,
    mut timed: T,
    done: oneshot::Sender<()>,
) -> std::io::Result<Sender<T::Command>> {
    let (sender, commands) = std::sync::mpsc::channel();
    std::thread::Builder::new().name(name).spawn(move || {
        run(&mut timed, &commands);
        let _ = done.send(());
    })?;
    Ok(sender)
}

fn run<T: Timed>(timed: &mut T, commands: &Receiver<T::Command>) {
    loop {
        let command = match timed.next_wake() {
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
        timed.advance();
        if let Some(command) = command {
            timed.handle(command);
            for _ in 1..TURN {
                let Ok(command) = commands.try_recv() else { break };
                timed.handle(command);
            }
        }
        if !timed.end_turn() {
            return;
        }
    }
}
