//! The machine's network: a card on a network of QEMU's own, from which the machine reaches what its host does, and of which
//! single ports are reached from the host.

use crate::error::{Error, Result};
use std::fmt;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::str::FromStr;

/// Which card is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nic {
    /// The one of virtual machines.
    Virtio,
    /// Intel 82574L.
    E1000e,
}

impl Nic {
    fn model(self) -> &'static str {
        match self {
            Nic::Virtio => "virtio-net-pci",
            Nic::E1000e => "e1000e",
        }
    }
}

/// What is carried to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// A port of the host, at 127.0.0.1 only, that is one of the machine's: `tcp:HOST:GUEST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// What is carried.
    pub protocol: Protocol,
    /// The host's port; 0 for any that is free.
    pub host: u16,
    /// The machine's.
    pub guest: u16,
}

impl FromStr for Forward {
    type Err = Error;

    fn from_str(text: &str) -> Result<Forward> {
        let parts: Vec<&str> = text.split(':').collect();
        let protocol = match parts.first() {
            Some(&"tcp") => Some(Protocol::Tcp),
            Some(&"udp") => Some(Protocol::Udp),
            _ => None,
        };
        let port = |index: usize| -> Option<u16> { parts.get(index)?.parse().ok() };
        match (protocol, port(1), port(2)) {
            (Some(protocol), Some(host), Some(guest @ 1..)) if parts.len() == 3 => Ok(Forward {
                protocol,
                host,
                guest,
            }),
            _ => Err(Error::Usage(format!(
                "--forward {text}: tcp:HOST:GUEST or udp:HOST:GUEST with port numbers is needed; HOST 0 is any free one"
            ))),
        }
    }
}

impl Forward {
    /// The same with a port of the host that is free now.
    pub fn settled(self) -> Result<Forward> {
        let at = (Ipv4Addr::LOCALHOST, self.host);
        let bound = match self.protocol {
            Protocol::Tcp => TcpListener::bind(at).and_then(|socket| socket.local_addr()),
            Protocol::Udp => UdpSocket::bind(at).and_then(|socket| socket.local_addr()),
        };
        match bound {
            Ok(address) => Ok(Forward {
                host: address.port(),
                ..self
            }),
            Err(error) => Err(Error::Usage(format!(
                "--forward: {} port {} of this host cannot be had: {error}",
                self.protocol, self.host
            ))),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Forward {
            protocol,
            host,
            guest,
        } = self;
        write!(
            f,
            "{protocol} 127.0.0.1:{host} is port {guest} of the machine"
        )
    }
}

/// A card on QEMU's own network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The card.
    pub nic: Nic,
    /// Ports that are reached from the host, all [settled](Forward::settled).
    pub forwards: Vec<Forward>,
}

impl Network {
    pub(super) fn add_to(&self, command: &mut Command) {
        let mut user = "user,id=network".to_owned();
        for forward in &self.forwards {
            let Forward {
                protocol,
                host,
                guest,
            } = forward;
            user += &format!(",hostfwd={protocol}:127.0.0.1:{host}-:{guest}");
        }
        // No ROM: nothing is booted from there.
        let card = format!("{},netdev=network,romfile=", self.nic.model());
        command.args(["-netdev", &user, "-device", &card]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_read() {
        let forward: Forward = "tcp:8080:80".parse().expect("right");
        assert_eq!(
            forward,
            Forward {
                protocol: Protocol::Tcp,
                host: 8080,
                guest: 80
            }
        );
        let any: Forward = "udp:0:65535".parse().expect("right");
        assert_eq!((any.host, any.guest), (0, 65535));
        for wrong in [
            "",
            "tcp",
            "tcp:80",
            "tcp:80:0",
            "tcp:80:65536",
            "tcp:-1:80",
            "tcp:1:2:3",
            "sctp:1:2",
            "tcp:a:b",
            "tcp:1: 2",
            "tcp::2",
        ] {
            let error = wrong.parse::<Forward>().expect_err(wrong).to_string();
            assert!(error.contains("tcp:HOST:GUEST"), "{error}");
        }
    }

    #[test]
    fn a_free_port_is_found_and_a_taken_one_named() {
        let any: Forward = "tcp:0:80".parse().expect("right");
        let settled = any.settled().expect("there are free ones");
        assert_ne!(settled.host, 0);
        assert_eq!(settled.guest, 80);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free one");
        let host = taken.local_addr().expect("bound").port();
        let error = Forward { host, ..any }.settled().expect_err("taken");
        assert!(error.to_string().contains(&host.to_string()), "{error}");
    }

    #[test]
    fn the_command_has_card_and_forwards() {
        let network = Network {
            nic: Nic::E1000e,
            forwards: vec![
                "tcp:8080:80".parse().expect("right"),
                "udp:53:5353".parse().expect("right"),
            ],
        };
        let mut command = Command::new("qemu");
        network.add_to(&mut command);
        let arguments: Vec<_> = command
            .get_args()
            .filter_map(|argument| argument.to_str())
            .collect();
        assert_eq!(
            arguments,
            [
                "-netdev",
                "user,id=network,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:127.0.0.1:53-:5353",
                "-device",
                "e1000e,netdev=network,romfile="
            ]
        );
    }
}
