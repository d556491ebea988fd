//! `ip`.

use alloc::format;
use alloc::string::String;
use core::net::IpAddr;

use net_client::Network;
use proto::net::{Row, Setup, Table};

use crate::output::Output;
use crate::{Failed, Words};

const USAGE: &str =
    "[set INTERFACE ADDRESS/BITS [GATEWAY [NAMESERVER]] | dhcp INTERFACE | off INTERFACE]";

pub async fn run(words: &Words, network: &Network, output: &Output) -> Result<(), Failed> {
    let operands = [0, 1, 2, 3, 4].map(|index| words.operand(index));
    match operands {
        [None, ..] => show(words.has("json"), network, output).await,
        [Some("dhcp"), Some(interface), None, ..] => {
            Ok(network.set_up(interface, Setup::Dhcp).await?)
        }
        [Some("off"), Some(interface), None, ..] => {
            Ok(network.set_up(interface, Setup::None).await?)
        }
        [
            Some("set"),
            Some(interface),
            Some(address),
            gateway,
            name_server,
        ] => {
            let setup = fixed(address, gateway, name_server)?;
            Ok(network.set_up(interface, setup).await?)
        }
        _ => Err(Failed::Usage(USAGE)),
    }
}

fn parse(text: &str) -> Result<IpAddr, Failed> {
    text.parse()
        .map_err(|_| Failed::Because(format!("{text:?} is no address")))
}

fn fixed(address: &str, gateway: Option<&str>, name_server: Option<&str>) -> Result<Setup, Failed> {
    let no_prefix = || {
        Failed::Because(format!(
            "{address:?} is no address with its bits, like 10.0.0.2/24"
        ))
    };
    let (address, bits) = address.split_once('/').ok_or_else(no_prefix)?;
    Ok(Setup::Static {
        address: parse(address)?,
        prefix_bits: bits
            .parse()
            .map_err(|_| Failed::Because(format!("{bits:?} is no number of bits")))?,
        gateway: gateway.map(parse).transpose()?,
        name_server: name_server.map(parse).transpose()?,
    })
}

const fn setup_word(setup: &Setup) -> &'static str {
    match setup {
        Setup::Dhcp => "dhcp",
        Setup::Static { .. } => "static",
        Setup::None => "none",
    }
}

struct Mac([u8; 6]);

impl core::fmt::Display for Mac {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

async fn show(json: bool, network: &Network, output: &Output) -> Result<(), Failed> {
    let tables = [
        Table::Interfaces,
        Table::Addresses,
        Table::Routes,
        Table::NameServers,
        Table::Neighbours,
    ];
    for table in tables {
        let mut index = 0;
        while let Some((row, next)) = network.row(table, index).await? {
            index = next;
            let text = if json { as_json(&row) } else { as_text(&row) };
            if let Some(text) = text {
                output.line(text).await;
            }
        }
    }
    Ok(())
}

fn as_text(row: &Row) -> Option<String> {
    Some(match row {
        Row::Interface {
            name,
            driver,
            mac,
            mtu_bytes,
            link,
            setup,
            traffic,
        } => format!(
            "interface {} {} {} mtu {mtu_bytes} link {} setup {} received {} frames {} bytes sent {} frames {} bytes dropped {}",
            &**name,
            &**driver,
            Mac(*mac),
            if *link { "up" } else { "down" },
            setup_word(setup),
            traffic.received_frames,
            traffic.received_bytes,
            traffic.sent_frames,
            traffic.sent_bytes,
            traffic.dropped,
        ),
        Row::Address {
            interface,
            address,
            prefix_bits,
        } => format!("address {} {address}/{prefix_bits}", &**interface),
        Row::Route {
            interface,
            to,
            prefix_bits,
            gateway,
        } => match gateway {
            Some(gateway) => format!("route {} {to}/{prefix_bits} by {gateway}", &**interface),
            None => format!("route {} {to}/{prefix_bits}", &**interface),
        },
        Row::Neighbour {
            interface,
            address,
            mac,
            age_ms,
        } => format!(
            "neighbour {} {address} {} heard of {} s ago",
            &**interface,
            Mac(*mac),
            age_ms / 1000
        ),
        Row::NameServer { address } => format!("nameserver {address}"),
        Row::Socket { .. } => return None,
    })
}

fn as_json(row: &Row) -> Option<String> {
    Some(match row {
        Row::Interface {
            name,
            driver,
            mac,
            mtu_bytes,
            link,
            setup,
            traffic,
        } => format!(
            "{{\"table\":\"interface\",\"name\":\"{}\",\"driver\":\"{}\",\"mac\":\"{}\",\"mtu\":{mtu_bytes},\"link\":{link},\"setup\":\"{}\",\"received_frames\":{},\"received_bytes\":{},\"sent_frames\":{},\"sent_bytes\":{},\"dropped\":{},\"interrupts\":{}}}",
            &**name,
            &**driver,
            Mac(*mac),
            setup_word(setup),
            traffic.received_frames,
            traffic.received_bytes,
            traffic.sent_frames,
            traffic.sent_bytes,
            traffic.dropped,
            traffic.interrupts,
        ),
        Row::Address {
            interface,
            address,
            prefix_bits,
        } => format!(
            "{{\"table\":\"address\",\"interface\":\"{}\",\"address\":\"{address}\",\"bits\":{prefix_bits}}}",
            &**interface
        ),
        Row::Route {
            interface,
            to,
            prefix_bits,
            gateway,
        } => {
            let gateway = match gateway {
                Some(gateway) => format!("\"{gateway}\""),
                None => "null".into(),
            };
            format!(
                "{{\"table\":\"route\",\"interface\":\"{}\",\"to\":\"{to}\",\"bits\":{prefix_bits},\"gateway\":{gateway}}}",
                &**interface
            )
        }
        Row::Neighbour {
            interface,
            address,
            mac,
            age_ms,
        } => format!(
            "{{\"table\":\"neighbour\",\"interface\":\"{}\",\"address\":\"{address}\",\"mac\":\"{}\",\"age_ms\":{age_ms}}}",
            &**interface,
            Mac(*mac)
        ),
        Row::NameServer { address } => {
            format!("{{\"table\":\"nameserver\",\"address\":\"{address}\"}}")
        }
        Row::Socket { .. } => return None,
    })
}
