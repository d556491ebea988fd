//! The servers that are linked into the kernel: the same crates as in the archive, by the same names.

use alloc::boxed::Box;

use rt::Env;
use rt::sys::resident::Main;

/// A server that can be resident.
#[derive(Debug)]
pub struct Server {
    /// As its program is called in the archive.
    pub name: &'static str,
    /// Its crate's async entry.
    pub main: fn(Env) -> Main,
}

static SERVERS: &[Server] = &[
    Server {
        name: "servers/compositor",
        main: |env| Box::pin(compositor_server::main(env)),
    },
    Server {
        name: "servers/echo",
        main: |env| Box::pin(echo::main(env)),
    },
    Server {
        name: "servers/net",
        main: |env| Box::pin(net_server::main(env)),
    },
    Server {
        name: "servers/personality",
        main: |env| Box::pin(personality::main(env)),
    },
];

/// The server of this name.
pub fn find(name: &str) -> Option<&'static Server> {
    SERVERS.iter().find(|server| server.name == name)
}
