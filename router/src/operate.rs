//! `router admin`: what an operator asks or tells a running router.

mod print;

use clap::{Args, Subcommand};
use std::process::ExitCode;
use tonic::Status;
use tonic::transport::Channel;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_launch::process::UNUSABLE;
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::v1::{
    AddWorkerRequest, DrainWorkerRequest, ExplainRequest, GetPolicyRequest, ListWorkersRequest,
    RemoveWorkerRequest, SetPolicyRequest, UndrainWorkerRequest,
};
use warmpath_proto::{status, transport};

#[derive(Args, Debug)]
pub struct Admin {
    /// The router's admin listener: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    target: String,
    /// Prints the router's answer as JSON
    #[arg(long, global = true)]
    json: bool,
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
    match ask(client, admin.what, admin.json).await {
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

/// The answer, as text or as JSON.
async fn ask(
    mut client: RouterAdminClient<Channel>,
    what: What,
    json: bool,
) -> Result<String, Status> {
    let show = |answer: &dyn print::Shown| match json {
        true => answer.json(),
        false => answer.text(),
    };
    Ok(match what {
        What::Workers => show(client.list_workers(ListWorkersRequest {}).await?.get_ref()),
        What::Add { url } => show(client.add_worker(AddWorkerRequest { url }).await?.get_ref()),
        What::Remove { worker: number, timeout_ms } => {
            let request = RemoveWorkerRequest { number, timeout_ms };
            show(client.remove_worker(request).await?.get_ref())
        }
        What::Drain { worker: number } => {
            show(client.drain_worker(DrainWorkerRequest { number }).await?.get_ref())
        }
        What::Undrain { worker: number } => {
            show(client.undrain_worker(UndrainWorkerRequest { number }).await?.get_ref())
        }
        What::Policy { name: None } => {
            show(client.get_policy(GetPolicyRequest {}).await?.get_ref())
        }
        What::Policy { name: Some(policy) } => {
            let policy = policy.name().to_owned();
            show(client.set_policy(SetPolicyRequest { policy }).await?.get_ref())
        }
        What::Explain { request_id, tenant } => {
            let about = Some(About::RequestId(request_id));
            let request = ExplainRequest { about, tenant };
            show(client.explain(request).await?.get_ref())
        }
    })
}
