//! `dns` and `netstat`.

use net_client::Network;
use proto::net::{Row, Table};

use crate::output::Output;
use crate::{Failed, Words};

pub async fn dns(words: &Words, network: &Network, output: &Output) -> Result<(), Failed> {
    let name = words.operand(0).ok_or(Failed::Usage("NAME"))?;
    for address in network.resolve(name).await? {
        output.line(alloc::format!("{address}")).await;
    }
    Ok(())
}

pub async fn netstat(words: &Words, network: &Network, output: &Output) -> Result<(), Failed> {
    let json = words.has("json");
    if !json {
        output
            .line(alloc::format!(
                "{:<5} {:<12} {:<28} {:<28} {:>8} {:>8} {:>6}",
                "",
                "state",
                "local",
                "remote",
                "received",
                "sending",
                "owner"
            ))
            .await;
    }
    let mut index = 0;
    while let Some((row, next)) = network.row(Table::Sockets, index).await? {
        index = next;
        let Row::Socket {
            protocol,
            state,
            local,
            remote,
            received,
            sending,
            owner,
        } = row
        else {
            continue;
        };
        if json {
            let remote = match remote {
                Some(remote) => alloc::format!("\"{remote}\""),
                None => "null".into(),
            };
            output
                .line(alloc::format!(
                    "{{\"protocol\":\"{protocol}\",\"state\":\"{state}\",\"local\":\"{local}\",\"remote\":{remote},\"received\":{received},\"sending\":{sending},\"owner\":{owner}}}"
                ))
                .await;
        } else {
            let local = alloc::format!("{local}");
            let remote = remote.map_or("-".into(), |remote| alloc::format!("{remote}"));
            output
                .line(alloc::format!(
                    "{protocol:<5} {state:<12} {local:<28} {remote:<28} {received:>8} {sending:>8} {owner:>6}"
                ))
                .await;
        }
    }
    Ok(())
}
