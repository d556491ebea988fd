//! Why there is no connection, in words that say what to do.

use alloc::string::String;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use rustls::pki_types::{IpAddr, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Why a connection did not come to be, or ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TlsError {
    /// The connection below it: what it says.
    Transport(String),
    /// No name of a host.
    Name(String),
    /// The connection below ended without TLS's own end: something may have been cut off.
    Truncated,
    /// The other side's handshake is longer than [`MOST_INCOMING_BYTES`](crate::MOST_INCOMING_BYTES).
    TooLong,
    /// There is no memory for its buffers.
    NoMemory,
    /// What rustls says; shown in our words.
    Protocol(Error),
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}

impl core::error::Error for TlsError {}

impl embedded_io_async::Error for TlsError {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind;
        match self {
            Self::Transport(_) => ErrorKind::Other,
            Self::Name(_) => ErrorKind::InvalidInput,
            Self::Truncated => ErrorKind::ConnectionAborted,
            Self::TooLong | Self::Protocol(_) => ErrorKind::InvalidData,
            Self::NoMemory => ErrorKind::OutOfMemory,
        }
    }
}

impl TlsError {
    /// Whether it is the certificate that is not believed.
    #[must_use]
    pub const fn is_about_trust(&self) -> bool {
        matches!(
            self,
            Self::Protocol(Error::InvalidCertificate(_) | Error::FailedToGetCurrentTime)
        )
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(what) => f.write_str(what),
            Self::Name(name) => write!(f, "{name:?} cannot be the name of a host"),
            Self::Truncated => f.write_str(
                "the connection ended without TLS's own end: something may have been cut off",
            ),
            Self::TooLong => f.write_str("the server's handshake is too long"),
            Self::NoMemory => f.write_str("there is no memory for TLS's buffers"),
            Self::Protocol(error) => protocol(error, f),
        }
    }
}

fn protocol(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        Error::InvalidCertificate(error) => certificate(error, f),
        Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            f.write_str("the server does not speak TLS 1.3 (its alert: ProtocolVersion)")
        }
        Error::AlertReceived(alert) => {
            write!(f, "the server gave up with the alert {alert:?}")
        }
        Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => {
            f.write_str("the server speaks TLS 1.2 or older, and nothing below 1.3 is spoken here")
        }
        Error::InvalidMessage(what) => write!(
            f,
            "what came is no TLS ({what:?}): does the host speak it on this port?"
        ),
        Error::DecryptError => f.write_str("what came was damaged or forged on its way"),
        Error::FailedToGetCurrentTime => f.write_str(
            "the time of day is not known here, so nobody can say whether the certificate is valid",
        ),
        Error::FailedToGetRandomBytes => {
            f.write_str("there are no random numbers here to make a key of")
        }
        other => write!(f, "{other}"),
    }
}

fn certificate(error: &CertificateError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        CertificateError::ExpiredContext { time, not_after } => write!(
            f,
            "the certificate expired at {}; the clock says {}",
            Utc(*not_after),
            Utc(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => write!(
            f,
            "the certificate is valid from {} on; the clock says {}",
            Utc(*not_before),
            Utc(*time)
        ),
        CertificateError::UnknownIssuer => {
            f.write_str("the certificate's issuer is not trusted: no known root has signed it")
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            f.write_str("the certificate is not for ")?;
            match expected {
                ServerName::DnsName(name) => f.write_str(name.as_ref())?,
                ServerName::IpAddress(IpAddr::V4(address)) => {
                    write!(f, "{}", Ipv4Addr::from(*address.as_ref()))?;
                }
                ServerName::IpAddress(IpAddr::V6(address)) => {
                    write!(f, "{}", Ipv6Addr::from(*address.as_ref()))?;
                }
                _ => f.write_str("the host asked for")?,
            }
            for (index, name) in presented.iter().enumerate() {
                // As rustls prints them: DnsName("a.b"), IpAddress(1.2.3.4).
                let inside = name
                    .split_once('(')
                    .map_or(name.as_str(), |(_, inside)| inside);
                let name = inside.trim_matches(['"', ')']);
                write!(f, "{}{name}", if index == 0 { ", but for " } else { ", " })?;
            }
            Ok(())
        }
        CertificateError::BadSignature => {
            f.write_str("a signature is wrong: the server does not have the certificate's key")
        }
        other => write!(f, "the certificate is not good: {other}"),
    }
}

/// A time of day: `2026-01-02T03:04:05Z`.
struct Utc(UnixTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March, in eras of 400 years of 146 097 days: a leap day is the last of its year.
        let from_march = days + 719_468;
        let (era, day) = (from_march / 146_097, from_march % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let year = era * 400 + year + next;
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::time::Duration;

    use super::*;

    #[test]
    fn times_of_day() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_198, "2024-02-29T23:59:58Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            assert_eq!(Utc(time).to_string(), text);
        }
    }
}
