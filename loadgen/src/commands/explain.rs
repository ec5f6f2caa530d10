//! `loadgen explain`: why a running router chose a worker for a request.

use crate::files::check_target;
use crate::report::Screen;
use anyhow::{Result, anyhow};
use clap::builder::NonEmptyStringValueParser;
use std::process::ExitCode;
use warmpath_proto::v1::ExplainRequest;
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::{status, transport};
use warmpath_router::answers::explanation;

/// Prints why a running router chose a worker for a request
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, with the admin listener of the router on port 50052:
  loadgen explain --target http://127.0.0.1:50052 lg-7-12")]
pub struct Args {
    /// Address of the router's admin listener: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    target: String,
    /// Id of the request: the client's id, or the id in the router's header x-warmpath-request-id
    #[arg(value_name = "REQUEST_ID", value_parser = NonEmptyStringValueParser::new())]
    request_id: String,
    /// Name of the tenant that sent it; needed if several tenants used the id
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    tenant: String,
}

pub fn run(args: Args, screen: Screen) -> Result<ExitCode> {
    let Args { target, request_id, tenant } = args;
    check_target(&target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        let channel = transport::channel(&target)?;
        let mut client = RouterAdminClient::new(channel)
            .max_decoding_message_size(transport::MAX_GENERATE_BYTES);
        let about = Some(About::RequestId(request_id));
        let request = ExplainRequest { about, tenant };
        let answer = client.explain(request).await;
        answer.map_err(|status| anyhow!("{target}: {}", status::of_admin(&status)))
    })?;
    screen.show(&explanation(answer.get_ref()))?;
    Ok(ExitCode::SUCCESS)
}
