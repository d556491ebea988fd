//! This client against OpenSSL's server: every kind of key, cipher and exchange, and what must be refused.

use std::error::Error;
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};
use std::{fs, pin};

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use testkit::tls::{Authority, Issued, Validity};
use tls::{Client, NoRandomness, Surroundings, TlsError, TlsStream, Trust};

const NAME: &str = "good.test";
const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const BODY_BYTES: usize = 300_000;
/// For a peer that says nothing.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Host;

impl Surroundings for Host {
    fn random(bytes: &mut [u8]) -> Result<(), NoRandomness> {
        let mut source = fs::File::open("/dev/urandom").map_err(|_| NoRandomness)?;
        source.read_exact(bytes).map_err(|_| NoRandomness)
    }

    fn now() -> Option<Duration> {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
    }
}

/// A connection of the host's, which waits with its whole thread.
struct Blocking(TcpStream);

fn other(_: io::Error) -> ErrorKind {
    ErrorKind::Other
}

impl ErrorType for Blocking {
    type Error = ErrorKind;
}

impl Read for Blocking {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        // A few bytes, so that records come in pieces.
        let most = buffer.len().min(5000);
        self.0.read(&mut buffer[..most]).map_err(other)
    }
}

impl Write for Blocking {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(&bytes[..bytes.len().min(1000)]).map_err(other)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush().map_err(other)
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

fn connect(port: u16, trust: &Trust, name: &str) -> Result<TlsStream<Blocking>, TlsError> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a good limit");
    let client = Client::<Host>::new(trust).expect("a client");
    run(client.connect(Blocking(stream), name))
}

/// The answer to `GET /body`, as a whole.
fn fetch(stream: &mut TlsStream<Blocking>) -> Result<Vec<u8>, TlsError> {
    run(async {
        stream.write_all(b"GET /body HTTP/1.0\r\n\r\n").await?;
        let mut all = Vec::new();
        let mut buffer = [0; 3000];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) => return Ok(all),
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(error) => return Err(error),
            }
        }
    })
}

struct World {
    authority: Authority,
    trust: Trust,
    body: Vec<u8>,
}

impl World {
    fn new() -> Result<Self, Box<dyn Error>> {
        let authority = Authority::new("Root of the test")?;
        let trust = Trust::pem(authority.root()?.as_bytes())?;
        let mut body = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
        body.extend((0..BODY_BYTES).map(|index| (index * 7 + index / 251) as u8));
        fs::write(authority.directory().join("body"), &body)?;
        Ok(Self {
            authority,
            trust,
            body,
        })
    }

    fn issue(&self, key: &[&str], validity: Validity) -> io::Result<Issued> {
        self.authority
            .issue(&format!("DNS:{NAME},IP:127.0.0.1"), key, validity)
    }

    /// A fetch through a server started with `words`; asked for by `name`.
    fn try_fetch(&self, issued: &Issued, words: &[&str], name: &str) -> Result<(), Box<dyn Error>> {
        let server = self
            .authority
            .serve(issued, &[words, &["-HTTP"]].concat())?;
        let mut stream = connect(server.port, &self.trust, name)?;
        let got = fetch(&mut stream)?;
        assert_eq!(got.len(), self.body.len(), "{words:?}");
        assert!(got == self.body, "{words:?}: other bytes");
        Ok(())
    }

    fn refused(&self, issued: &Issued, words: &[&str], name: &str, wanted: &str) {
        let refused = self
            .try_fetch(issued, words, name)
            .expect_err("it must be refused");
        let said = refused.to_string();
        assert!(said.contains(wanted), "{wanted:?} is not in {said:?}");
    }
}

#[test]
fn keys_ciphers_and_exchanges() -> Result<(), Box<dyn Error>> {
    let world = World::new()?;
    for key in [
        &["rsa:2048"][..],
        &["rsa:4096"],
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["ed25519"],
    ] {
        let issued = world.issue(key, Validity::LONG)?;
        world
            .try_fetch(&issued, &[], NAME)
            .map_err(|error| format!("{key:?}: {error}"))?;
    }
    let issued = world.issue(P256, Validity::LONG)?;
    for words in [
        &["-ciphersuites", "TLS_AES_128_GCM_SHA256"][..],
        &["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        // The client's first guess is X25519: it is asked to begin anew.
        &["-groups", "P-256"],
        // Handshake messages in many records.
        &["-max_send_frag", "512"],
        &["-num_tickets", "5"],
    ] {
        world
            .try_fetch(&issued, words, NAME)
            .map_err(|error| format!("{words:?}: {error}"))?;
    }
    world.try_fetch(&issued, &[], "127.0.0.1")?;
    Ok(())
}

#[test]
fn what_is_refused_says_why() -> Result<(), Box<dyn Error>> {
    let world = World::new()?;
    let good = world.issue(P256, Validity::LONG)?;
    let past = world.issue(P256, Validity::PAST)?;
    let future = world.issue(P256, Validity::FUTURE)?;
    world.refused(
        &good,
        &[],
        "bad.test",
        "not for bad.test, but for good.test, 127.0.0.1",
    );
    world.refused(
        &past,
        &[],
        NAME,
        "expired at 2021-01-01T00:00:00Z; the clock says 20",
    );
    world.refused(&future, &[], NAME, "valid from 2048-01-01T00:00:00Z on");
    world.refused(&good, &["-tls1_2"], NAME, "does not speak TLS 1.3");
    world.refused(
        &good,
        &["-ciphersuites", "TLS_AES_128_CCM_SHA256"],
        NAME,
        "alert HandshakeFailure",
    );
    let short = world.issue(&["rsa:1024"], Validity::LONG)?;
    // OpenSSL does not use such a key unless it is told to.
    let weak = ["-cipher", "DEFAULT@SECLEVEL=0"];
    world.refused(&short, &weak, NAME, "a signature is wrong");
    // Another root of the same name, and the public ones.
    let server = world.authority.serve(&good, &["-HTTP"])?;
    let other = Authority::new("Root of the test")?;
    let other = Trust::pem(other.root()?.as_bytes())?;
    for trust in [&Trust::public_roots(), &other] {
        let error = connect(server.port, trust, NAME).expect_err("nobody trusts it");
        let said = error.to_string();
        assert!(
            said.contains("not trusted") || said.contains("signature"),
            "{said}"
        );
        assert!(error.is_about_trust());
    }
    let mut stream = connect(server.port, &Trust::anybody(), "anything.test")?;
    assert_eq!(fetch(&mut stream)?.len(), world.body.len());
    Ok(())
}

#[test]
fn no_tls_and_no_name() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .expect("room");
        let _ = stream.read(&mut [0; 4096]);
        let (stream, _) = listener.accept().expect("a client");
        drop(stream);
    });
    let said = connect(port, &Trust::anybody(), NAME)
        .expect_err("HTTP")
        .to_string();
    assert!(said.contains("is no TLS"), "{said}");
    let said = connect(port, &Trust::anybody(), NAME)
        .expect_err("nothing")
        .to_string();
    assert!(
        said.contains("ended without") || said.contains("reset"),
        "{said}"
    );
    peer.join().expect("well");
    assert!(matches!(Trust::pem(b"x"), Err(tls::BadPem::None)));
    let bad = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Trust::pem(bad), Err(tls::BadPem::Damaged(1))));
}
