//! `curl`.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use net_client::Network;
use sha2::{Digest, Sha256};

use crate::http::{self, Body, Head, MAX_HEAD_BYTES};
use crate::line::{Line, Trusted};
use crate::output::Output;
use crate::url::Url;
use crate::{Failed, Words};

const USAGE: &str = "[--head] [--sha256] [--cacert - | --insecure] URL";
/// How often one is sent elsewhere.
const MOST_MOVES: u32 = 8;

pub async fn run(words: &Words, network: &Network, output: &Output) -> Result<(), Failed> {
    let text = words.operand(0).ok_or(Failed::Usage(USAGE))?;
    let mut url = Url::parse(text).map_err(Failed::Because)?;
    let trusted = Trusted::new(words)?;
    if trusted.is_insecure() {
        let warning =
            "curl: warning: --insecure: whoever answers may be somebody else than the host";
        output.line(warning.into()).await;
    }
    for _ in 0..=MOST_MOVES {
        let (mut stream, head, rest) = ask(&url, network, &trusted).await?;
        if let (300..400, Some(location)) = (head.status, &head.location) {
            url = url.moved(location).map_err(Failed::Because)?;
            continue;
        }
        if words.has("head") {
            output
                .line(alloc::format!("{} {}", head.status, head.reason))
                .await;
        }
        let mut hash = words.has("sha256").then(Sha256::new);
        let length = body(&mut stream, &head, &rest, &mut hash, output).await?;
        if let Some(hash) = hash {
            let digits: String = hash
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            output.line(alloc::format!("{digits} {length} bytes")).await;
        }
        if head.status >= 400 {
            let why = format!("the server answers {} {}", head.status, head.reason);
            return Err(Failed::Because(why));
        }
        return Ok(());
    }
    Err(Failed::Because(format!(
        "sent elsewhere {MOST_MOVES} times"
    )))
}

/// Asks for a page: the head of the answer, and what came behind it.
async fn ask(
    url: &Url,
    network: &Network,
    trusted: &Trusted,
) -> Result<(Line, Head, Vec<u8>), Failed> {
    let named = |why: String| Failed::Because(format!("{}: {why}", url.authority()));
    let mut stream = Line::connect(url, network, trusted).await.map_err(named)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: raede\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path,
        url.authority()
    );
    stream.write_all(request.as_bytes()).await.map_err(named)?;
    let mut bytes = vec![0; MAX_HEAD_BYTES];
    let mut len = 0;
    loop {
        let room = bytes.get_mut(len..).unwrap_or_default();
        let count = stream.read(room).await.map_err(named)?;
        len += count;
        let found = http::head(bytes.get(..len).unwrap_or_default()).map_err(Failed::Because)?;
        if let Some(head) = found {
            let rest = bytes.get(head.bytes..len).unwrap_or_default().to_vec();
            return Ok((stream, head, rest));
        }
        if count == 0 {
            let why = format!("{}: closed before its answer was whole", url.authority());
            return Err(Failed::Because(why));
        }
    }
}

/// Puts the body out, or counts it in; its length.
async fn body(
    stream: &mut Line,
    head: &Head,
    first: &[u8],
    hash: &mut Option<Sha256>,
    output: &Output,
) -> Result<u64, Failed> {
    let mut body = Body::new(head.framing);
    let mut buffer = vec![0; 16 << 10];
    let mut piece = Vec::new();
    let mut length = 0;
    let mut count = first.len();
    buffer
        .get_mut(..count)
        .unwrap_or_default()
        .copy_from_slice(first.get(..count).unwrap_or_default());
    loop {
        piece.clear();
        let came = buffer.get(..count).unwrap_or_default();
        body.feed(came, |bytes| piece.extend_from_slice(bytes))
            .map_err(Failed::Because)?;
        length += piece.len() as u64;
        match hash {
            Some(hash) => hash.update(&piece),
            None => output.put(&piece).await,
        }
        if body.is_done() {
            return Ok(length);
        }
        let read = stream.read(&mut buffer).await;
        count = read.map_err(Failed::Because)?;
        if count == 0 {
            return if body.may_end() {
                Ok(length)
            } else {
                Err(Failed::Because(format!(
                    "the answer ends after {length} bytes"
                )))
            };
        }
    }
}
