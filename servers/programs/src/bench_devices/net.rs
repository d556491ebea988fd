//! Sockets that the harness on the host talks to: datagrams that are echoed, connections that echo, take or give.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec;

use net_client::{NetError, Network, TcpStream};
use rt::unit::Manager;

use crate::load::Load;
use crate::report::Report;
use crate::{Failed, Outcome};

/// Ports, and what the first byte of a datagram or connection asks for (`bench/README.md`).
const UDP_PORT: u16 = 7;
const TCP_PORT: u16 = 5001;
const LAST: u8 = b'Q';
const ECHO: u8 = b'E';
const TAKE: u8 = b'R';
const GIVE: u8 = b'T';
/// Longest datagram, and piece of a connection.
const PIECE_BYTES: usize = 32 << 10;

impl From<NetError> for Failed {
    fn from(error: NetError) -> Self {
        Self::Network(error)
    }
}

/// All phases.
pub async fn all(report: &mut Report, manager: Arc<Manager>) -> Outcome {
    let network = Network::new(manager);
    for name in ["idle", "load"] {
        let load = (name == "load").then(Load::start).transpose()?;
        let mut socket = network.bind(UDP_PORT).await?;
        report.ready(&format!("udp_echo.{name}"), 0)?;
        let mut bytes = vec![0; PIECE_BYTES];
        loop {
            let (count, from) = socket.receive_from(&mut bytes).await?;
            let datagram = bytes.get(..count).unwrap_or_default();
            socket.send_to(datagram, from).await?;
            if datagram.first() == Some(&LAST) {
                break;
            }
        }
        report.wait_go()?;
        load.map(Load::stop).transpose()?;
    }
    let mut listener = network.listen(TCP_PORT, 4).await?;
    report.ready("tcp", 0)?;
    while serve(listener.accept().await?).await? {}
    report.wait_go()
}

/// One connection; `false` if it was the last. That a peer is gone ends a connection, whatever it wanted.
async fn serve(mut stream: TcpStream) -> Outcome<bool> {
    let mut bytes = vec![0; PIECE_BYTES];
    let mut count = stream.read(&mut bytes).await.unwrap_or(0);
    let wanted = bytes.first().copied().filter(|_| count > 0);
    match wanted {
        Some(LAST) => return Ok(false),
        Some(ECHO) => {
            // Without the byte that asked.
            let mut from = 1;
            while count > 0 {
                let piece = bytes.get(from..count).unwrap_or_default();
                if stream.write_all(piece).await.is_err() {
                    break;
                }
                from = 0;
                count = stream.read(&mut bytes).await.unwrap_or(0);
            }
        }
        Some(TAKE) => {
            while stream.read(&mut bytes).await.unwrap_or(0) > 0 {}
            // Nobody needs to be there any more.
            let _ = stream.write_all(&[TAKE]).await;
            let _ = stream.finish().await;
        }
        Some(GIVE) => while stream.write_all(&bytes).await.is_ok() {},
        _ => {}
    }
    Ok(true)
}
