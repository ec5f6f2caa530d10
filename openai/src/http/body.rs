//! Reading a body. The listener bounds its size and its time; here its errors become HTTP's.

use crate::problem::Problem;
use axum::body::{Body, Bytes};
use http_body::Body as _;
use std::future::poll_fn;
use std::pin::Pin;
use tonic::Status;

/// The whole body, of at most `most` bytes.
pub async fn whole(mut body: Body, most: usize) -> Result<Bytes, Problem> {
    let mut first: Option<Bytes> = None;
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let data = match frame {
            None => break,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
            Some(Err(error)) => return Err(failed(error)),
        };
        let have = first.as_ref().map_or(0, Bytes::len).max(rest.len());
        if have + data.len() > most {
            return Err(too_large(most));
        }
        match (&first, rest.is_empty()) {
            (None, true) => first = Some(data),
            (Some(before), true) => {
                rest.reserve(body.size_hint().lower().min(most as u64) as usize + 2 * data.len());
                rest.extend_from_slice(before);
                rest.extend_from_slice(&data);
            }
            _ => rest.extend_from_slice(&data),
        }
    }
    match first {
        Some(first) if rest.is_empty() => Ok(first),
        _ => Ok(rest.into()),
    }
}

fn too_large(most: usize) -> Problem {
    Problem::new(413, format!("body: expected at most {most} bytes"))
}

fn failed(error: axum::Error) -> Problem {
    let error = error.into_inner();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(error) = source {
        if let Some(status) = error.downcast_ref::<Status>() {
            return Problem::of_body(status);
        }
        source = error.source();
    }
    Problem::new(400, format!("body: {error}"))
}
