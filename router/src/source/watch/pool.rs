//! `warmpath.v1.Pool.Watch`: a pool's feed.

use super::messages::{self, Messages};
use crate::source::event::{Announcement, EventSource, FeedEnd, Opened, Opening};
use tonic::transport::Channel;
use warmpath_core::id::PoolId;
use warmpath_proto::convert;
use warmpath_proto::transport::MAX_FEED_BYTES;
use warmpath_proto::v1::WatchRequest;
use warmpath_proto::v1::pool_client::PoolClient;

/// The feed of one pool.
#[derive(Debug)]
pub struct PoolWatch {
    id: PoolId,
    channel: Channel,
}

impl PoolWatch {
    pub const fn new(id: PoolId, channel: Channel) -> Self {
        Self { id, channel }
    }
}

impl EventSource for PoolWatch {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let client = PoolClient::new(self.channel.clone());
            let mut client = client.max_decoding_message_size(MAX_FEED_BYTES);
            let (hello, messages) = messages::open(client.watch(WatchRequest {})).await?;
            convert::check_block_size(&hello)
                .map_err(|error| FeedEnd::Refused(error.to_string()))?;
            if hello.prefill.is_some() {
                return Err(FeedEnd::Refused("it is a worker, expected a pool".to_owned()));
            }
            messages::check_hash_scheme(&hello)?;
            let announcement = Announcement {
                epoch: hello.epoch,
                model: hello.model,
                block_size: hello.block_size,
                speedup: hello.speedup,
                name: messages::shown(&hello.name),
                instance: hello.instance,
                worker: None,
            };
            let events = Messages::new(messages, self.id.into(), hello.block_size);
            Ok(Opened { announcement, events: Box::pin(events) })
        })
    }
}
