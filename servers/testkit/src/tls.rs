//! Peers that speak TLS: OpenSSL's server, with certificates of an authority that was made for the test.

use std::io::{BufRead, BufReader, Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

/// What OpenSSL's `ca` works by: any name may be signed, nothing is kept.
const CONFIG: &str = "[ca]\ndefault_ca = any\n[any]\ndatabase = index\nnew_certs_dir = .\ncertificate = root.pem\n\
    private_key = root.key\ndefault_md = sha256\npolicy = any_name\nunique_subject = no\nrand_serial = yes\n\
    [any_name]\ncommonName = supplied\n";

/// The first and the last second a certificate is valid, as OpenSSL takes them.
#[derive(Clone, Copy, Debug)]
pub struct Validity(&'static str, &'static str);

impl Validity {
    /// Now, and as long as this code is used.
    pub const LONG: Self = Self("20200101000000Z", "20491231235959Z");
    /// No more.
    pub const PAST: Self = Self("20200101000000Z", "20210101000000Z");
    /// Not yet.
    pub const FUTURE: Self = Self("20480101000000Z", "20491231235959Z");
}

/// What signs certificates. Its directory goes with it.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    issued: AtomicU32,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Issued {
    certificate: PathBuf,
    key: PathBuf,
}

/// A server that listens on this host. It ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its port.
    pub port: u16,
}

fn openssl(directory: &Path, words: &[&str]) -> Result<()> {
    let output = Command::new("openssl")
        .args(words)
        .current_dir(directory)
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!(
        "openssl {} failed: {said}",
        words.join(" ")
    )))
}

impl Authority {
    /// A new one; `name` is what its certificate is made out to.
    ///
    /// # Errors
    /// OpenSSL's, or the file system's.
    pub fn new(name: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("raede-tls-{}-{number}", process::id()));
        fs::create_dir_all(&directory)?;
        let new = Self {
            directory,
            issued: AtomicU32::new(0),
        };
        fs::write(new.directory.join("config"), CONFIG)?;
        fs::write(new.directory.join("index"), "")?;
        let subject = format!("/CN={name}");
        let words = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
            "-days",
            "9000",
            "-subj",
            &subject,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ];
        openssl(&new.directory, &words)?;
        Ok(new)
    }

    /// Where its files are, and what its servers give out.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its certificate, as PEM.
    ///
    /// # Errors
    /// The file system's.
    pub fn root(&self) -> Result<String> {
        fs::read_to_string(self.directory.join("root.pem"))
    }

    /// A certificate for names (`DNS:a.test,IP:10.0.2.2`), with a new key: words for `openssl req -newkey`.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn issue(&self, names: &str, key: &[&str], validity: Validity) -> Result<Issued> {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| format!("{number}.{kind}");
        let (asked, secret, extra, signed) = (file("csr"), file("key"), file("ext"), file("pem"));
        let mut words = vec!["req", "-new", "-newkey"];
        words.extend(key);
        words.extend([
            "-nodes", "-subj", "/CN=test", "-keyout", &secret, "-out", &asked,
        ]);
        openssl(&self.directory, &words)?;
        let extensions = format!(
            "subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
        );
        fs::write(self.directory.join(&extra), extensions)?;
        let words = [
            "ca",
            "-config",
            "config",
            "-batch",
            "-notext",
            "-in",
            &asked,
            "-out",
            &signed,
            "-extfile",
            &extra,
            "-startdate",
            validity.0,
            "-enddate",
            validity.1,
        ];
        openssl(&self.directory, &words)?;
        Ok(Issued {
            certificate: self.directory.join(signed),
            key: self.directory.join(secret),
        })
    }

    /// A server with a certificate: words for `openssl s_server`. With `-HTTP` it answers with the files of [`Self::directory`], which hold
    /// whole answers, head and body.
    ///
    /// # Errors
    /// It does not start.
    pub fn serve(&self, issued: &Issued, words: &[&str]) -> Result<Server> {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0"])
            .arg("-cert")
            .arg(&issued.certificate)
            .arg("-key")
            .arg(&issued.key)
            .args(words)
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child
            .stdout
            .take()
            .ok_or_else(|| Error::other("no output"))?;
        let mut server = Server { child, port: 0 };
        let mut lines = BufReader::new(output).lines();
        for line in &mut lines {
            let line = line?;
            if let Some((_, port)) = line
                .strip_prefix("ACCEPT ")
                .and_then(|at| at.rsplit_once(':'))
            {
                server.port = port.parse().map_err(Error::other)?;
                // What it says later is of no interest, but must go somewhere.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(server);
            }
        }
        Err(Error::other("openssl s_server ended before it listened"))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // At worst a few files stay behind in the directory for such files.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
