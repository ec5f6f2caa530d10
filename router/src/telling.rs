//! What siblings are told: the requests that this router has under way, and each change of them.
//!
//! A follower's queue is bounded, by news and by names of blocks. One that falls behind is cut; it follows
//! anew and is told of everything that is under way. So a router never waits for a sibling.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use warmpath_core::id::RequestId;
use warmpath_core::routing::siblings::News;

/// News that may wait for one follower.
pub const QUEUE: usize = 4_096;
/// Names of blocks in them: 16 MiB.
const QUEUED_BLOCKS: u64 = 1 << 20;
/// Routers that may follow at the same time.
const FOLLOWERS: usize = 64;

/// One thing to tell.
#[derive(Clone, Debug)]
pub enum Item {
    /// All that is under way, as the news that tell of it, and the number of the last news among them.
    UnderWay(u64, Arc<[Arc<News>]>),
    /// News and their number.
    News(u64, Arc<News>),
    /// The number of the last news.
    Heartbeat(u64),
}

/// How much was told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Told {
    /// News so far.
    pub news: u64,
    /// Requests under way.
    pub under_way: usize,
    /// Routers that follow.
    pub followers: usize,
    /// How often a follower was cut because it fell behind.
    pub cut: u64,
}

/// What is told, and the queues of those who follow.
#[derive(Default, Debug)]
pub struct Teller(Mutex<Inner>);

#[derive(Default, Debug)]
struct Inner {
    number: u64,
    under_way: BTreeMap<RequestId, Request>,
    followers: Vec<Follower>,
    cut: u64,
}

/// A request, as the news about it.
#[derive(Debug)]
struct Request {
    sent: Arc<News>,
    since: Vec<Arc<News>>,
}

#[derive(Debug)]
struct Follower {
    items: mpsc::Sender<Item>,
    blocks: Arc<AtomicU64>,
}

/// A follower's end of its queue.
#[derive(Debug)]
pub struct Queue {
    pub items: mpsc::Receiver<Item>,
    blocks: Arc<AtomicU64>,
}

impl Queue {
    /// These were taken out of the queue.
    pub fn taken(&self, items: &[Item]) {
        let blocks = items.iter().map(blocks).sum();
        self.blocks.fetch_sub(blocks, Ordering::Relaxed);
    }
}

/// Names of blocks in news.
pub fn blocks_of(news: &News) -> u64 {
    match news {
        News::Sent { request, .. } => request.prompt.blocks().into(),
        _ => 0,
    }
}

/// Names in an item that counts against the queue. What is under way when a follower comes does not: it must
/// be told.
fn blocks(item: &Item) -> u64 {
    match item {
        Item::News(_, news) => blocks_of(news),
        Item::UnderWay(..) | Item::Heartbeat(_) => 0,
    }
}

impl Teller {
    /// The router's next news. News about a request that was never sent say nothing to others.
    pub fn tell(&self, news: News) {
        let mut inner = self.lock();
        let (id, news) = (news.id(), Arc::new(news));
        match &*news {
            News::Sent { .. } => {
                let request = Request { sent: Arc::clone(&news), since: Vec::new() };
                inner.under_way.insert(id, request);
            }
            News::PrefillDone(_) | News::FirstToken(_) => match inner.under_way.get_mut(&id) {
                Some(request) => request.since.push(Arc::clone(&news)),
                None => return,
            },
            News::Finished { .. } | News::Cancelled(_) => {
                if inner.under_way.remove(&id).is_none() {
                    return;
                }
            }
        }
        inner.number += 1;
        let item = Item::News(inner.number, news);
        inner.send(&item);
    }

    /// Tells that there were no news.
    pub fn beat(&self) {
        let mut inner = self.lock();
        let item = Item::Heartbeat(inner.number);
        inner.send(&item);
    }

    /// A new follower. None: there are too many.
    pub fn follow(&self) -> Option<Queue> {
        let mut inner = self.lock();
        inner.followers.retain(|follower| !follower.items.is_closed());
        if inner.followers.len() >= FOLLOWERS {
            return None;
        }
        let (sender, items) = mpsc::channel(QUEUE);
        let all = inner.under_way.values();
        let all = all.flat_map(|request| std::iter::once(&request.sent).chain(&request.since));
        let all: Arc<[_]> = all.cloned().collect();
        sender.try_send(Item::UnderWay(inner.number, all)).ok()?;
        let blocks = Arc::<AtomicU64>::default();
        inner.followers.push(Follower { items: sender, blocks: Arc::clone(&blocks) });
        Some(Queue { items, blocks })
    }

    /// How much was told.
    pub fn told(&self) -> Told {
        let inner = self.lock();
        let followers = inner.followers.iter().filter(|follower| !follower.items.is_closed());
        Told {
            news: inner.number,
            under_way: inner.under_way.len(),
            followers: followers.count(),
            cut: inner.cut,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn send(&mut self, item: &Item) {
        let (blocks, cut) = (blocks(item), &mut self.cut);
        self.followers.retain(|follower| {
            let queued = follower.blocks.fetch_add(blocks, Ordering::Relaxed) + blocks;
            // One request may have more names than all queues should hold.
            let fits = queued <= QUEUED_BLOCKS.max(blocks);
            match fits.then(|| follower.items.try_send(item.clone())) {
                Some(Ok(())) => true,
                Some(Err(mpsc::error::TrySendError::Closed(_))) => false,
                Some(Err(mpsc::error::TrySendError::Full(_))) | None => {
                    *cut += 1;
                    false
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_core::block::{BlockHash, TokenBlocks};
    use warmpath_core::id::{TenantId, WorkerId};
    use warmpath_core::routing::input::Decision;

    fn sent(id: u64, blocks: u32) -> News {
        let names = (0..u128::from(blocks)).map(BlockHash::from_wire).collect();
        let request = warmpath_core::request::Request {
            id: RequestId(id),
            session: None,
            tenant: TenantId(0),
            prompt: TokenBlocks::from_wire(16, blocks * 16, names).unwrap(),
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        };
        News::Sent { request, decision: Decision::blind(WorkerId(0)) }
    }

    fn numbers(queue: &mut Queue) -> Vec<(u64, usize)> {
        let mut numbers = Vec::new();
        while let Ok(item) = queue.items.try_recv() {
            queue.taken(std::slice::from_ref(&item));
            numbers.push(match item {
                Item::UnderWay(number, all) => (number, all.len()),
                Item::News(number, _) => (number, 1),
                Item::Heartbeat(number) => (number, 0),
            });
        }
        numbers
    }

    #[test]
    fn a_follower_is_told_what_is_under_way_and_then_what_changes() {
        let teller = Teller::default();
        let [one, two, never] = [1, 2, 3].map(RequestId);
        teller.tell(sent(1, 1));
        teller.tell(sent(2, 1));
        teller.tell(News::FirstToken(two));
        teller.tell(News::Cancelled(one));
        let mut queue = teller.follow().unwrap();
        teller.tell(News::Cancelled(never));
        teller.tell(News::FirstToken(never));
        teller.beat();
        teller.tell(News::Cancelled(two));
        assert_eq!(numbers(&mut queue), [(4, 2), (4, 0), (5, 1)]);
        assert_eq!(teller.told(), Told { news: 5, under_way: 0, followers: 1, cut: 0 });
        drop(queue);
        assert_eq!(teller.told().followers, 0);
    }

    #[test]
    fn a_follower_that_falls_behind_is_cut_alone() {
        let teller = Teller::default();
        let (mut slow, mut quick) = (teller.follow().unwrap(), teller.follow().unwrap());
        for i in 0..=QUEUE as u64 {
            teller.tell(sent(i, 1));
            assert!(!numbers(&mut quick).is_empty());
        }
        assert_eq!(numbers(&mut slow).len(), QUEUE);
        assert!(slow.items.is_closed());
        assert_eq!((teller.told().followers, teller.told().cut), (1, 1));
    }

    #[test]
    fn names_that_wait_are_bounded_too() {
        let teller = Teller::default();
        let (slow, mut quick) = (teller.follow().unwrap(), teller.follow().unwrap());
        for i in 0..3 {
            teller.tell(sent(i, 1 << 19));
            numbers(&mut quick);
        }
        assert!(slow.items.is_closed() && !quick.items.is_closed());
        // Alone, a request of any length is told.
        teller.tell(sent(9, 1 << 21));
        assert_eq!(numbers(&mut quick), [(4, 1)]);
    }

    #[test]
    fn followers_are_counted() {
        let teller = Teller::default();
        let mut all: Vec<_> = (0..FOLLOWERS).map(|_| teller.follow().unwrap()).collect();
        assert!(teller.follow().is_none());
        all.pop();
        assert!(teller.follow().is_some(), "one has left");
    }
}
