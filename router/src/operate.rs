//! `router admin`: queries and controls a running router.

mod print;

use clap::{Args, Subcommand};
use print::print;
use std::path::PathBuf;
use std::process::ExitCode;
use tonic::Status;
use tonic::transport::Channel;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_launch::process::unusable;
use warmpath_launch::terminal;
use warmpath_proto::tls::{TlsError, UpstreamFiles};
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::v1::{
    AddWorkerRequest, DrainWorkerRequest, ExplainRequest, GetPolicyRequest, ListEventsRequest,
    ListShadowsRequest, ListSiblingsRequest, ListWorkersRequest, RemoveWorkerRequest,
    SetPolicyRequest, UndrainWorkerRequest, WorkerStanding,
};
use warmpath_proto::{status, transport};
use warmpath_sheet::{Width, width};

/// The command line after `router admin`.
#[derive(Args, Debug)]
pub struct Admin {
    /// The router's admin listener: http://HOST:PORT, or https:// with --tls-ca
    #[arg(long, value_name = "URL")]
    target: String,
    /// The CA of the admin listener's certificate, PEM
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The operator's certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of --tls-cert, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name in the listener's certificate [default: the host of --target]
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    tls_server_name: Option<String>,
    /// Prints the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Says what each column of a table means
    #[arg(long, global = true)]
    columns: bool,
    /// Maximum width of a table in characters, 40 to 10000 [default: the terminal's width, or 120]
    #[arg(long, global = true, value_name = "COLUMNS", value_parser = width::parse)]
    width: Option<usize>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Lists the workers with their standing and load
    Workers {
        /// Adds the number of each worker's present life; a restart changes it
        #[arg(long)]
        epochs: bool,
    },
    /// Lists what happened to the fleet lately: joins, losses, drains, changes of the policy
    Events,
    /// Lists the other routers before the fleet, and how much they tell each other
    Siblings,
    /// Lists the rules that are asked beside the routing policy, and how they would have decided
    Shadows,
    /// Adds a worker; it gets requests when it has joined
    Add {
        /// The worker: http://HOST:PORT
        url: String,
    },
    /// Drains a worker, waits for its requests, and removes it
    Remove {
        /// The worker: its number, such as w3, or the name that it gives itself
        worker: String,
        /// Milliseconds to wait for its requests [default: the router's drain timeout]
        #[arg(long, value_name = "MILLISECONDS")]
        timeout_ms: Option<u64>,
    },
    /// Stops sending new requests to a worker
    Drain {
        /// The worker: its number, such as w3, or the name that it gives itself
        worker: String,
    },
    /// Sends new requests to a drained worker again
    Undrain {
        /// The worker: its number, such as w3, or the name that it gives itself
        worker: String,
    },
    /// Shows the routing policy, or sets another one
    Policy {
        /// The policy to set: NAME or 'NAME(key=value,key=value)'
        policy: Option<String>,
    },
    /// Explains why a request was sent to its worker
    Explain {
        /// The request id: the client's id, or the id in the metadata x-warmpath-request-id
        request_id: String,
        /// The request's tenant; needed if several tenants use the same request id
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        tenant: String,
    },
}

/// The number of a worker that is called by its number or its name.
async fn number(client: &mut RouterAdminClient<Channel>, called: &str) -> Result<u32, Status> {
    if let Ok(number) = called.strip_prefix('w').unwrap_or(called).parse() {
        return Ok(number);
    }
    let all = client.list_workers(ListWorkersRequest {}).await?.into_inner().workers;
    // Another address of a worker is the same worker.
    let named: Vec<_> = all
        .iter()
        .filter(|worker| worker.name == called && worker.standing() != WorkerStanding::Same)
        .collect();
    match named[..] {
        [worker] => Ok(worker.number),
        [] => {
            let mut names: Vec<_> = all.iter().map(|worker| worker.name.as_str()).collect();
            names.retain(|name| !name.is_empty());
            names.sort_unstable();
            names.dedup();
            let names = if names.is_empty() {
                String::new()
            } else {
                format!(" or one of: {}", names.join(", "))
            };
            let why = format!("worker: '{called}' is unknown, expected a number such as w3{names}");
            Err(Status::not_found(why))
        }
        _ => {
            let numbers: Vec<_> =
                named.iter().map(|worker| format!("w{}", worker.number)).collect();
            let numbers = numbers.join(", ");
            let why =
                format!("worker: '{called}' is the name of several, expected one of: {numbers}");
            Err(Status::invalid_argument(why))
        }
    }
}

/// Makes one call and prints the answer. An error is one line on standard error.
pub async fn run(admin: Admin) -> ExitCode {
    if let What::Policy { policy: Some(policy) } = &admin.what
        && let Err(error) = policy.parse::<PolicyConfig>()
    {
        return unusable(&error.to_string());
    }
    let channel = match admin.channel() {
        Ok(channel) => channel,
        Err(line) => return unusable(&line),
    };
    let client =
        RouterAdminClient::new(channel).max_decoding_message_size(transport::MAX_GENERATE_BYTES);
    let Admin { json, columns, .. } = admin;
    let epochs = matches!(admin.what, What::Workers { epochs: true });
    let style = print::Style { json, columns, epochs, width: Width::chosen(admin.width) };
    match ask(client, admin.what, style).await {
        Ok(text) => terminal::print_line(&text).map_or_else(failed, |()| ExitCode::SUCCESS),
        Err(status) => failed(format!("{}: {}", admin.target, status::of_admin(&status))),
    }
}

impl Admin {
    /// A connection to the admin listener. An error is one line.
    fn channel(&self) -> Result<Channel, String> {
        let files = self.tls_ca.clone().map(|ca| UpstreamFiles {
            ca,
            cert: self.tls_cert.clone(),
            key: self.tls_key.clone(),
            server_name: self.tls_server_name.clone(),
        });
        let tls = files.map(|files| files.load()).transpose();
        let tls = tls.map_err(|TlsError { field, why }| format!("--tls-{field}: {why}"))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let channel = transport::channel_with(&self.target, &tls.into()).ok();
        let usable = self.target.starts_with(&format!("{scheme}://"));
        let wrong = || {
            let with = if self.target.starts_with("https://") { ", or --tls-ca" } else { "" };
            format!("--target: '{}', expected {scheme}://host:port{with}", self.target)
        };
        channel.filter(|_| usable).ok_or_else(wrong)
    }
}

/// One line on standard error, and the exit status of a failure.
fn failed(line: String) -> ExitCode {
    terminal::say(&line);
    ExitCode::FAILURE
}

/// The answer in the style that was asked for.
async fn ask(
    mut client: RouterAdminClient<Channel>,
    what: What,
    style: print::Style,
) -> Result<String, Status> {
    Ok(match what {
        What::Events => {
            print(client.list_events(ListEventsRequest { after: 0 }).await?.get_ref(), style)
        }
        What::Siblings => {
            print(client.list_siblings(ListSiblingsRequest {}).await?.get_ref(), style)
        }
        What::Shadows => print(client.list_shadows(ListShadowsRequest {}).await?.get_ref(), style),
        What::Workers { .. } => {
            print(client.list_workers(ListWorkersRequest {}).await?.get_ref(), style)
        }
        What::Add { url } => {
            print(client.add_worker(AddWorkerRequest { url }).await?.get_ref(), style)
        }
        What::Remove { worker, timeout_ms } => {
            let number = number(&mut client, &worker).await?;
            let request = RemoveWorkerRequest { number, timeout_ms };
            print(client.remove_worker(request).await?.get_ref(), style)
        }
        What::Drain { worker } => {
            let number = number(&mut client, &worker).await?;
            print(client.drain_worker(DrainWorkerRequest { number }).await?.get_ref(), style)
        }
        What::Undrain { worker } => {
            let number = number(&mut client, &worker).await?;
            print(client.undrain_worker(UndrainWorkerRequest { number }).await?.get_ref(), style)
        }
        What::Policy { policy: None } => {
            print(client.get_policy(GetPolicyRequest {}).await?.get_ref(), style)
        }
        What::Policy { policy: Some(policy) } => {
            print(client.set_policy(SetPolicyRequest { policy }).await?.get_ref(), style)
        }
        What::Explain { request_id, tenant } => {
            let about = Some(About::RequestId(request_id));
            let request = ExplainRequest { about, tenant };
            print(client.explain(request).await?.get_ref(), style)
        }
    })
}
