//! `nc`.

use alloc::format;
use alloc::vec;

use net_client::{NetError, Network, TcpStream};
use rt::{Either, first, sleep};

use crate::output::Output;
use crate::{Failed, Words};

const USAGE: &str = "[--udp] HOST PORT [TEXT]... | --listen PORT [TEXT]...";
/// How long an answer to a datagram is waited for.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(2);

fn port(text: Option<&str>) -> Result<u16, Failed> {
    let text = text.ok_or(Failed::Usage(USAGE))?;
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Failed::Because(format!("{text:?} is no port: 1 to 65535"))),
    }
}

pub async fn run(words: &Words, network: &Network, output: &Output) -> Result<(), Failed> {
    let text = |from: usize| {
        let words: vec::Vec<&str> = words
            .operands
            .iter()
            .skip(from)
            .map(|word| &**word)
            .collect();
        (!words.is_empty()).then(|| format!("{}\n", words.join(" ")))
    };
    if words.has("listen") {
        let mut listener = network.listen(port(words.operand(0))?, 1).await?;
        let stream = listener.accept().await?;
        return converse(stream, text(1), output).await;
    }
    let host = words.operand(0).ok_or(Failed::Usage(USAGE))?;
    let port = port(words.operand(1))?;
    if words.has("udp") {
        let addresses = network.resolve(host).await?;
        let address = *addresses.first().ok_or(NetError::NoSuchName)?;
        let mut socket = network.bind(0).await?;
        let to = core::net::SocketAddr::new(address, port);
        socket
            .send_to(text(2).unwrap_or_default().as_bytes(), to)
            .await?;
        let mut buffer = vec![0; 65536];
        let answer = socket.receive_from(&mut buffer);
        let Either::A(answer) = first(answer, sleep(PATIENCE)).await else {
            return Err(NetError::TimedOut.into());
        };
        let (len, _) = answer?;
        output.put(buffer.get(..len).unwrap_or_default()).await;
        return Ok(());
    }
    converse(network.connect_to(host, port).await?, text(2), output).await
}

/// Says the text, if there is one, and puts out what the other side says until its end.
async fn converse(
    mut stream: TcpStream,
    text: Option<alloc::string::String>,
    output: &Output,
) -> Result<(), Failed> {
    if let Some(text) = text {
        stream.write_all(text.as_bytes()).await?;
        stream.finish().await?;
    }
    let mut buffer = vec![0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            len => output.put(buffer.get(..len).unwrap_or_default()).await,
        }
    }
}
