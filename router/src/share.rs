//! `[siblings]`: what routers before one fleet know of each other.

use crate::config_error::ConfigError;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use warmpath_core::routing::siblings::Sharing;
use warmpath_proto::tls::ListenerFiles;

/// The other routers before the fleet.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiblingsConfig {
    /// Where they listen for their siblings. A host name may have several addresses: each is a router. The
    /// router itself may be among them.
    pub urls: Vec<String>,
    /// Where this router listens for its siblings. None: it tells nothing.
    pub listen: Option<SocketAddr>,
    /// How this router learns what the others send. None: by bookings if there is a URL or an address, else
    /// not at all.
    pub share: Option<Sharing>,
    /// The certificate of the listener, which must then ask for one of its clients.
    pub tls: Option<ListenerFiles>,
}

impl SiblingsConfig {
    /// How this router learns what the others send.
    pub fn sharing(&self) -> Sharing {
        let there_are = !self.urls.is_empty() || self.listen.is_some();
        self.share.unwrap_or(if there_are { Sharing::Bookings } else { Sharing::Nothing })
    }

    /// Checks what does not depend on other tables. The error names the field.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let err = |field: &str, why| Err(ConfigError { field: format!("siblings.{field}"), why });
        let share = self.sharing();
        for (field, given) in [("urls", !self.urls.is_empty()), ("listen", self.listen.is_some())] {
            if given && share != Sharing::Bookings {
                let why = format!("'{}' with siblings.{field}, expected 'bookings'", share.name());
                return err("share", why);
            }
        }
        if self.tls.as_ref().is_some_and(|files| files.client_ca.is_none()) {
            let why = "missing, expected the CA of the siblings' certificates";
            return err("tls.client_ca", why.to_owned());
        }
        Ok(())
    }
}

/// A value of `share` as a flag.
pub fn parse_sharing(text: &str) -> Result<Sharing, String> {
    let sharing = Sharing::ALL.into_iter().find(|sharing| sharing.name() == text);
    sharing.ok_or_else(|| "expected nothing, load-reports or bookings".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookings_are_shared_where_there_is_with_whom() {
        let alone = SiblingsConfig::default();
        assert_eq!(alone.sharing(), Sharing::Nothing);
        let one = SiblingsConfig { urls: vec!["http://h:1".to_owned()], ..alone.clone() };
        assert_eq!((one.sharing(), one.check()), (Sharing::Bookings, Ok(())));
        let listens = SiblingsConfig { listen: "127.0.0.1:1".parse().ok(), ..alone.clone() };
        assert_eq!(listens.sharing(), Sharing::Bookings);
        let read = SiblingsConfig { share: Some(Sharing::LoadReports), ..alone };
        assert_eq!((read.sharing(), read.check()), (Sharing::LoadReports, Ok(())));
        let both = SiblingsConfig { share: Some(Sharing::LoadReports), ..one };
        let why = "siblings.share: 'load-reports' with siblings.urls, expected 'bookings'";
        assert_eq!(both.check().unwrap_err().to_string(), why);
    }

    #[test]
    fn a_value_is_spelled_as_in_scenarios() {
        for sharing in Sharing::ALL {
            assert_eq!(parse_sharing(sharing.name()), Ok(sharing));
        }
        assert!(parse_sharing("all").is_err());
    }
}
