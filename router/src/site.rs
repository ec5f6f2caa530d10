//! An engine's HTTP: where it is, and what all requests to it have in common.

use crate::secret::Secret;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Error, ResponseFuture};
use std::sync::Arc;
use std::time::Duration;
use tonic::codegen::Bytes;
use tonic::codegen::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use tonic::codegen::http::{Method, Request, Response, StatusCode};
use warmpath_openai::problem::Problem;
use warmpath_proto::http_client::{HttpClient, http_client};
use warmpath_proto::status::with_sources;
use warmpath_proto::transport::Dialling;

/// By this vLLM reads the data-parallel rank that a request is for.
const RANK: HeaderName = HeaderName::from_static("x-data-parallel-rank");
/// A small answer that does not come in this time is not waited for.
const LIMIT: Duration = Duration::from_secs(2);
/// The most bytes of an answer that is read whole.
const MOST_BYTES: usize = 4 << 20;

/// An engine, or one rank of it. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Site(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: HttpClient<Full<Bytes>>,
    url: String,
    headers: HeaderMap,
}

/// A small answer.
#[derive(Debug)]
pub struct Page {
    pub headers: HeaderMap,
    pub text: String,
}

/// Why there is none.
#[derive(Debug)]
pub enum NoPage {
    /// It was not reached, or said nothing in time.
    Silent(String),
    /// It answered with another status than a good one.
    Refused(Problem),
}

impl NoPage {
    pub fn why(self) -> String {
        match self {
            Self::Silent(why) => why,
            Self::Refused(Problem { status, message, .. }) => format!("status {status}: {message}"),
        }
    }
}

impl Site {
    /// `url`: without a slash at its end. Nothing connects before the first use.
    pub fn new(
        url: &str,
        key: Option<&Secret>,
        rank: Option<u32>,
        how: &Dialling,
    ) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let bearer = HeaderValue::try_from(format!("Bearer {}", key.reveal()));
            let mut bearer = bearer.map_err(|_| "its api_key is no visible ASCII".to_owned())?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        if let Some(rank) = rank {
            headers.insert(RANK, rank.into());
        }
        Ok(Self(Arc::new(Inner { client: http_client(how), url: url.to_owned(), headers })))
    }

    /// A request to this path, with these headers beside the common ones.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let url = format!("{}{path}", self.0.url);
        let request = Request::builder().method(method).uri(&url).body(Full::from(body));
        let mut request = request.map_err(|error| format!("{url}: {error}"))?;
        request.headers_mut().extend(self.0.headers.clone());
        request.headers_mut().extend(headers);
        Ok(request)
    }

    /// Sends a request. Dropping what returns closes the connection, unless the answer was read to its end.
    pub fn send(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        self.0.client.request(request)
    }

    /// A small answer without a body of the request's.
    pub async fn page(&self, method: Method, path: &str) -> Result<Page, NoPage> {
        let request = self.request(method, path, [], Vec::new()).map_err(NoPage::Silent)?;
        let answered = async {
            let response = self.send(request).await;
            let response = response.map_err(|error| NoPage::Silent(unreached(&error)))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let text = text(response, MOST_BYTES).await.map_err(NoPage::Silent)?;
            match status {
                StatusCode::OK => Ok(Page { headers, text }),
                _ => Err(NoPage::Refused(Problem::read(status.as_u16(), text.as_bytes()))),
            }
        };
        let answered = tokio::time::timeout(LIMIT, answered).await;
        answered.map_err(|_| NoPage::Silent(format!("no answer in {} s", LIMIT.as_secs())))?
    }
}

/// The text of an answer with at most so many bytes.
pub async fn text<B>(response: Response<B>, most: usize) -> Result<String, String>
where
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let body = Limited::new(response.into_body(), most).collect().await;
    let body = body.map_err(|error| error.to_string())?;
    String::from_utf8(body.to_bytes().into()).map_err(|_| "it is no text".to_owned())
}

/// Why a request had no answer, with the causes.
pub fn unreached(error: &Error) -> String {
    with_sources(&error.to_string(), std::error::Error::source(error))
}
