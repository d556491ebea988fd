//! HTTPS: `curl` fetches from OpenSSL's server on this host, and refuses whom it must.

use std::error::Error;
use std::fs;

use sha2::{Digest, Sha256};
use testkit::tls::{Authority, Validity};
use xtask::packages::{self, Tool};

use crate::scenario::{Skip, Verdict};
use crate::session::Session;

/// What is fetched.
const BODY_BYTES: usize = 500_000;
/// This host, as the machine sees it.
const HOST: &str = "10.0.2.2";
const NAMES: &str = "DNS:raede.test,IP:10.0.2.2";
const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const RSA: &[&str] = &["rsa:2048"];

/// A page that was moved is fetched, whole; nobody is taken for a host that is not.
pub fn https(session: &mut Session) -> Verdict {
    packages::require(&[Tool::Openssl]).map_err(|error| Skip(error.to_string()))?;
    let authority = Authority::new("Root of this test")?;
    let body: Vec<u8> = (0..BODY_BYTES)
        .map(|index| (index * 7 + index / 251) as u8)
        .collect();
    let write = |name: &str, head: &str, body: &[u8]| {
        let answer = [head.as_bytes(), b"\r\n\r\n", body].concat();
        fs::write(authority.directory().join(name), answer)
    };
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}");
    write("file", &whole, &body)?;
    let moved = "HTTP/1.1 302 Found\r\nLocation: /file\r\nContent-Length: 0";
    write("moved", moved, b"")?;
    let down = format!("HTTP/1.1 302 Found\r\nLocation: http://{HOST}/\r\nContent-Length: 0");
    write("down", &down, b"")?;

    let root = authority.root()?;
    let good = authority.serve(&authority.issue(NAMES, RSA, Validity::LONG)?, &["-HTTP"])?;
    let digits: String = Sha256::digest(&body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let wanted = format!("{digits} {BODY_BYTES} bytes");
    let url = |port: u16, path: &str| format!("https://{HOST}:{port}/{path}");
    let fetch = format!("curl --sha256 --cacert - {}", url(good.port, "moved"));
    let reply = session.run_pasted(&fetch, &root)?;
    if reply.status != 0 || reply.output.trim() != wanted {
        return Err(format!("it should be {wanted}: {}", reply.output).into());
    }
    let said = session.ok(&format!("curl -k --sha256 {}", url(good.port, "file")))?;
    if !said.contains("warning: --insecure") || !said.contains(&wanted) {
        return Err(format!("--insecure should warn, and fetch {wanted}: {said}").into());
    }

    let other_name = authority.serve(
        &authority.issue("DNS:else.test", P256, Validity::LONG)?,
        &["-HTTP"],
    )?;
    let past = authority.serve(&authority.issue(NAMES, P256, Validity::PAST)?, &["-HTTP"])?;
    let old = authority.serve(
        &authority.issue(NAMES, P256, Validity::LONG)?,
        &["-HTTP", "-tls1_2"],
    )?;
    let mut refused = 0;
    let mut check = |reply: (i32, String), wanted: &str| -> Result<(), Box<dyn Error>> {
        refused += 1;
        let (status, said) = reply;
        if status != 0 && said.contains(wanted) {
            return Ok(());
        }
        Err(format!("it should be refused with {wanted:?}: status {status}, {said}").into())
    };
    for (port, path, wanted) in [
        (
            other_name.port,
            "file",
            "the certificate is not for 10.0.2.2, but for else.test",
        ),
        (
            past.port,
            "file",
            "the certificate expired at 2021-01-01T00:00:00Z",
        ),
        (old.port, "file", "the server does not speak TLS 1.3"),
        (good.port, "down", "everybody on the way can read along"),
    ] {
        let command = format!("curl --cacert - {}", url(port, path));
        let reply = session.run_pasted(&command, &root)?;
        check((reply.status, reply.output), wanted)?;
    }
    let reply = session.run(&format!("curl {}", url(good.port, "file")))?;
    check(
        (reply.status, reply.output),
        "the certificate's issuer is not trusted",
    )?;
    let reply = session.run_pasted(
        &format!("curl --cacert - {}", url(good.port, "file")),
        "nonsense\n-----END CERTIFICATE-----\n",
    )?;
    check(
        (reply.status, reply.output),
        "there is no certificate in it",
    )?;
    session.alive()?;
    Ok(format!(
        "{BODY_BYTES} bytes by way of another page, twice; {refused} refusals"
    ))
}
