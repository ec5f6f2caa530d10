//! `warmpath.v1.WorkerState.Watch`: a worker's feed.

use super::messages::{self, Messages};
use crate::source::event::{Announcement, EventSource, FeedEnd, Opened, Opening};
use tonic::transport::Channel;
use warmpath_core::id::WorkerId;
use warmpath_proto::convert;
use warmpath_proto::transport::MAX_FEED_BYTES;
use warmpath_proto::v1::WatchRequest;
use warmpath_proto::v1::worker_state_client::WorkerStateClient;

/// The feed of one worker.
#[derive(Debug)]
pub struct WorkerWatch {
    /// The router's number of the worker; the worker does not know it.
    id: WorkerId,
    channel: Channel,
}

impl WorkerWatch {
    pub const fn new(id: WorkerId, channel: Channel) -> Self {
        Self { id, channel }
    }
}

impl EventSource for WorkerWatch {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let client = WorkerStateClient::new(self.channel.clone());
            let mut client = client.max_decoding_message_size(MAX_FEED_BYTES);
            let (hello, messages) = messages::open(client.watch(WatchRequest {})).await?;
            let info = convert::hello_from_wire(self.id, &hello)
                .map_err(|error| FeedEnd::Refused(error.to_string()))?;
            messages::check_hash_scheme(&hello)?;
            let announcement = Announcement {
                epoch: hello.epoch,
                model: hello.model,
                block_size: hello.block_size,
                speedup: hello.speedup,
                name: messages::shown(&hello.name),
                instance: hello.instance,
                worker: Some(info),
            };
            let events = Messages::new(messages, self.id.into(), hello.block_size);
            Ok(Opened { announcement, events: Box::pin(events) })
        })
    }
}
