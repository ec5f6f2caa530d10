//! An engine or a pool on a thread of its own. It sleeps in its command channel until something is
//! due. A thread's timer is precise to about 60 µs. Tokio's timer ticks in milliseconds, and a
//! speedup multiplies every error.
//!
//! The next wake-up is computed after each turn. Before a command is handled, everything that is
//! due by then is done.
//!
//! In virtual time a thread's timer is of no use: there the turns are a task.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant as WallInstant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use warmpath_proto::clock::now;
use warmpath_proto::deadline::passed;

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

/// What takes the turns.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Place {
    #[default]
    Thread,
    /// A task of the runtime that starts it. It keeps that runtime's time.
    Task,
}

/// Sends commands to an engine or a pool.
#[derive(Debug)]
pub enum Commands<C> {
    Thread(std::sync::mpsc::Sender<C>),
    Task(UnboundedSender<C>),
}

/// The engine or the pool has stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stopped;

impl<C> Commands<C> {
    pub fn send(&self, command: C) -> Result<(), Stopped> {
        match self {
            Self::Thread(sender) => sender.send(command).map_err(|_| Stopped),
            Self::Task(sender) => sender.send(command).map_err(|_| Stopped),
        }
    }
}

impl<C> Clone for Commands<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Thread(sender) => Self::Thread(sender.clone()),
            Self::Task(sender) => Self::Task(sender.clone()),
        }
    }
}

/// Starts the turns. They end with the last one, or when every sender of commands is gone. `done`
/// is then sent; a panic drops it.
pub fn start<T: Timed>(
    (name, place): (String, Place),
    mut timed: T,
    done: oneshot::Sender<()>,
) -> std::io::Result<Commands<T::Command>> {
    match place {
        Place::Thread => {
            let (sender, commands) = std::sync::mpsc::channel();
            std::thread::Builder::new().name(name).spawn(move || {
                run(&mut timed, &commands);
                let _ = done.send(());
            })?;
            Ok(Commands::Thread(sender))
        }
        Place::Task => {
            let (sender, mut commands) = tokio::sync::mpsc::unbounded_channel();
            tokio::spawn(async move {
                run_in_task(&mut timed, &mut commands).await;
                let _ = done.send(());
            });
            Ok(Commands::Task(sender))
        }
    }
}

fn run<T: Timed>(timed: &mut T, commands: &Receiver<T::Command>) {
    loop {
        let command = match timed.next_wake() {
            Some(wake) => {
                let wait = wake.saturating_duration_since(now());
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
        if !turn(timed, command, || commands.try_recv().ok()) {
            return;
        }
    }
}

async fn run_in_task<T: Timed>(timed: &mut T, commands: &mut UnboundedReceiver<T::Command>) {
    loop {
        let command = tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(command) => Some(command),
                None => return,
            },
            () = passed(timed.next_wake()) => None,
        };
        if !turn(timed, command, || commands.try_recv().ok()) {
            return;
        }
    }
}

/// One turn. `more` gives a command that waits. False: it was the last turn.
fn turn<T: Timed>(
    timed: &mut T,
    command: Option<T::Command>,
    mut more: impl FnMut() -> Option<T::Command>,
) -> bool {
    timed.advance();
    if let Some(command) = command {
        timed.handle(command);
        for _ in 1..TURN {
            let Some(command) = more() else { break };
            timed.handle(command);
        }
    }
    timed.end_turn()
}
