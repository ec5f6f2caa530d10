//! `router admin`: what an operator asks or tells a running router.

mod print;

use clap::{Args, Subcommand};
use print::print;
use std::process::ExitCode;
use tonic::Status;
use tonic::transport::Channel;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::process::UNUSABLE;
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::v1::{
    AddWorkerRequest, DrainWorkerRequest, ExplainRequest, GetPolicyRequest, ListWorkersRequest,
    RemoveWorkerRequest, SetPolicyRequest, UndrainWorkerRequest,
};
use warmpath_proto::{status, transport};
use warmpath_sheet::{Width, width};

#[derive(Args, Debug)]
pub struct Admin {
    /// The router's admin listener: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    target: String,
    /// Prints the router's answer as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Say what each column of a table means
    #[arg(long, global = true)]
    columns: bool,
    /// How wide a table may be [default: the terminal's width, or 120]
    #[arg(long, global = true, value_name = "COLUMNS", value_parser = width::parse)]
    width: Option<usize>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Lists the workers: how each stands, and what it has to do
    Workers,
    /// Adds a worker; it takes requests when it has joined
    Add {
        /// The worker: http://HOST:PORT
        url: String,
    },
    /// Drains a worker, waits for its requests, and forgets it
    Remove {
        /// The worker by its number, as in w3
        #[arg(value_parser = parse_worker)]
        worker: u32,
        /// How long to wait for its requests; without it, as long as the router does when it stops
        #[arg(long, value_name = "MILLISECONDS")]
        timeout_ms: Option<u64>,
    },
    /// Sends a worker no new requests
    Drain {
        /// The worker by its number, as in w3
        #[arg(value_parser = parse_worker)]
        worker: u32,
    },
    /// Takes back a drain
    Undrain {
        /// The worker by its number, as in w3
        #[arg(value_parser = parse_worker)]
        worker: u32,
    },
    /// Shows the routing policy, or sets another
    Policy {
        /// The policy to set
        name: Option<PolicyConfig>,
    },
    /// Why a request went where it went
    Explain {
        /// Its client's name for it, or what the router answered in x-warmpath-request-id
        request_id: String,
        /// Whose it is, by the tenant's name; needed where several have one of that name
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        tenant: String,
    },
}

fn parse_worker(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix('w').unwrap_or(text);
    number.parse().map_err(|_| "expected a worker's number, as in w3".to_owned())
}

/// One line of standard error each.
pub async fn run(admin: Admin) -> ExitCode {
    let channel = match transport::channel(&admin.target) {
        Ok(channel) if admin.target.starts_with("http://") => channel,
        _ => {
            eprintln!("--target: '{}', expected http://host:port", admin.target);
            return ExitCode::from(UNUSABLE);
        }
    };
    let client =
        RouterAdminClient::new(channel).max_decoding_message_size(transport::MAX_GENERATE_BYTES);
    let Admin { json, columns, .. } = admin;
    let style = print::Style { json, columns, width: Width::chosen(admin.width) };
    match ask(client, admin.what, style).await {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(status) => {
            eprintln!("{}: {}", admin.target, status::of_admin(&status));
            ExitCode::FAILURE
        }
    }
}

/// The answer in the style that was asked for.
async fn ask(
    mut client: RouterAdminClient<Channel>,
    what: What,
    style: print::Style,
) -> Result<String, Status> {
    Ok(match what {
        What::Workers => print(client.list_workers(ListWorkersRequest {}).await?.get_ref(), style),
        What::Add { url } => {
            print(client.add_worker(AddWorkerRequest { url }).await?.get_ref(), style)
        }
        What::Remove { worker: number, timeout_ms } => {
            let request = RemoveWorkerRequest { number, timeout_ms };
            print(client.remove_worker(request).await?.get_ref(), style)
        }
        What::Drain { worker: number } => {
            print(client.drain_worker(DrainWorkerRequest { number }).await?.get_ref(), style)
        }
        What::Undrain { worker: number } => {
            print(client.undrain_worker(UndrainWorkerRequest { number }).await?.get_ref(), style)
        }
        What::Policy { name: None } => {
            print(client.get_policy(GetPolicyRequest {}).await?.get_ref(), style)
        }
        What::Policy { name: Some(policy) } => {
            let policy = policy.name().to_owned();
            print(client.set_policy(SetPolicyRequest { policy }).await?.get_ref(), style)
        }
        What::Explain { request_id, tenant } => {
            let about = Some(About::RequestId(request_id));
            let request = ExplainRequest { about, tenant };
            print(client.explain(request).await?.get_ref(), style)
        }
    })
}
