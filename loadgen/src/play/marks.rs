//! What a router's operator did during a run, from the router's admin service.

use crate::figures::Mark;
use anyhow::{Result, anyhow};
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::v1::{FleetEvent, ListEventsRequest};
use warmpath_proto::{status, transport};

/// A router that does not answer in this time is not waited for.
const LIMIT: Duration = Duration::from_secs(5);

/// A router's events from now on.
#[derive(Debug)]
pub struct Marks {
    admin: String,
    client: RouterAdminClient<Channel>,
    /// The last event before the run.
    last: u64,
}

impl Marks {
    /// Begins to listen. The error says that there is no admin service.
    pub async fn begin(admin: &str) -> Result<Self> {
        let client = RouterAdminClient::new(transport::channel(admin)?)
            .max_decoding_message_size(transport::MAX_GENERATE_BYTES);
        let mut marks = Self { admin: admin.to_owned(), client, last: 0 };
        marks.last = marks.events().await?.last().map_or(0, |event| event.number);
        Ok(marks)
    }

    /// What happened since, in model seconds from `began`.
    pub async fn end(mut self, began: Instant, speedup: f64) -> Result<Vec<Mark>> {
        let events = self.events().await?;
        let since = Instant::now().saturating_duration_since(began);
        let mark = |event: FleetEvent| Mark {
            at_s: (since.as_secs_f64() - event.ago_ms as f64 / 1e3) * speedup,
            what: event.what,
            worker: event.worker,
            name: event.name,
            detail: event.detail,
        };
        Ok(events.into_iter().map(mark).collect())
    }

    async fn events(&mut self) -> Result<Vec<FleetEvent>> {
        let answer = self.client.list_events(ListEventsRequest { after: self.last });
        let answer = tokio::time::timeout(LIMIT, answer).await;
        let answer = answer.map_err(|_| anyhow!("--admin: {} does not answer", self.admin))?;
        let why = |status| anyhow!("--admin: {}: {}", self.admin, status::of_admin(&status));
        Ok(answer.map_err(why)?.into_inner().events)
    }
}
