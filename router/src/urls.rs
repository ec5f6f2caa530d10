//! URLs of workers, pools and siblings.

use tonic::transport::Uri;

/// The URL of a worker, a pool or a sibling in the one spelling that is compared: `http://host:port` or
/// `https://host:port`, the host in lower case. An error is what is wrong.
pub fn normal_url(url: &str) -> Result<String, String> {
    let wrong = || format!("'{url}', expected http://host:port or https://host:port");
    let parsed: Uri = url.parse().map_err(|_| wrong())?;
    let plain = parsed.path_and_query().is_none_or(|path| path.as_str() == "/");
    let authority = parsed.authority().filter(|authority| !authority.as_str().contains('@'));
    match (parsed.scheme_str(), authority.and_then(|a| Some((a.host(), a.port_u16()?)))) {
        (Some(scheme @ ("http" | "https")), Some((host, port)))
            if plain && port > 0 && !host.is_empty() =>
        {
            Ok(format!("{scheme}://{}:{port}", host.to_ascii_lowercase()))
        }
        _ => Err(wrong()),
    }
}
