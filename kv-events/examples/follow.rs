//! Prints the KV events of one engine: `follow tcp://host:5557 [tcp://host:5558] [topic]`.
//!
//! The second endpoint is that of the replay; what it still has is printed first.

use std::error::Error;
use tokio::net::TcpStream;
use warmpath_kv_events::codec;
use warmpath_kv_events::endpoint_address;
use warmpath_kv_events::event::Event;
use warmpath_kv_events::follow::{Replay, Subscription};
use warmpath_kv_events::frames::{Numbered, Replayed};

async fn dial(endpoint: &str) -> Result<TcpStream, Box<dyn Error>> {
    Ok(TcpStream::connect(endpoint_address(endpoint)?).await?)
}

fn print(how: &str, batch: &Numbered) {
    let read = match codec::decode(&batch.payload) {
        Ok((read, _)) => read,
        Err(error) => return println!("{how} {}: {error}", batch.seq),
    };
    for event in &read.events {
        match event {
            Event::Stored(stored) => println!(
                "{how} {}: stored {} blocks of {} in {:?}, {} tokens, after {:?}, keys {:?}",
                batch.seq,
                stored.hashes.len(),
                stored.block_size,
                stored.medium.as_deref().unwrap_or("no medium"),
                stored.token_ids.len(),
                stored.parent.is_some(),
                stored.extra_keys.as_ref().and_then(|keys| keys.first()),
            ),
            Event::Removed(removed) => {
                println!("{how} {}: removed {} blocks", batch.seq, removed.hashes.len());
            }
            Event::Cleared => println!("{how} {}: cleared", batch.seq),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(events) = args.first() else { return Err("expected tcp://host:port".into()) };
    let topic = args.get(2).map_or("", String::as_str);
    let mut subscription = Subscription::open(dial(events).await?, topic).await?;
    if let Some(endpoint) = args.get(1) {
        let mut replay = Replay::open(dial(endpoint).await?).await?;
        replay.ask(0).await?;
        while let Replayed::Batch(batch) = replay.next().await? {
            print("replayed", &batch);
        }
    }
    loop {
        print("published", &subscription.next().await?);
    }
}
