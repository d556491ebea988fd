//! What the cores did, as the status page gives it out for Perfetto.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use prost::Message;
use trace::perfetto::{EventType, TracePacket};
use xtask::host;

use crate::http::{LIMIT, ask, get, whole_bytes};
use crate::scenario::Verdict;

/// The file.
#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<TracePacket>,
}

fn fetch(port: u16, query: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    let path = format!("/trace.pftrace{query}");
    ask(&mut stream, &path, "close")?;
    let (head, body) = whole_bytes(stream, &path)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("no trace: {head}").into());
    }
    Ok(body)
}

/// Half a second of a machine that was asked for it: its cores, the programs that answer, and arrows from wakes to polls.
pub fn recorded(port: u16) -> Verdict {
    let file = fetch(port, "?ms=300")?;
    let packets = Trace::decode(file.as_slice())?.packet;
    let lines: BTreeSet<&str> = packets
        .iter()
        .filter_map(|packet| packet.track_descriptor.as_ref()?.name.as_deref())
        .collect();
    // A core that slept all the time has none.
    if !lines.iter().any(|line| line.starts_with("core ")) {
        return Err(format!("no core in {lines:?}").into());
    }
    let events = || {
        packets
            .iter()
            .filter_map(|packet| packet.track_event.as_ref())
    };
    let polls = |name: &str| {
        let begins = i32::from(EventType::SliceBegin);
        events()
            .filter(|event| event.r#type == Some(begins) && event.name.as_deref() == Some(name))
            .count()
    };
    // The page's server slept meanwhile, and then it was woken.
    if polls("httpd") == 0 {
        return Err(format!("httpd has no poll in it; lines: {lines:?}").into());
    }
    let begun: BTreeSet<u64> = events().flat_map(|event| event.flow_ids.clone()).collect();
    let ended: BTreeSet<u64> = events()
        .flat_map(|event| event.terminating_flow_ids.clone())
        .collect();
    if ended.is_empty() || !ended.is_subset(&begun) {
        return Err(format!("{} arrows begin, {} end", begun.len(), ended.len()).into());
    }
    let (refused, _) = get((Ipv4Addr::LOCALHOST, port), "/trace.pftrace?ms=0", LIMIT)?;
    if !refused.starts_with("HTTP/1.1 400 ") {
        return Err(format!("a trace of no length: {refused}").into());
    }
    Ok(format!(
        "{} bytes, {} events, {} arrows",
        file.len(),
        events().count(),
        ended.len()
    ))
}

/// What Perfetto's own description of its format makes of the file.
const CHECK: &str = "
import sys
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb
trace = pb.Trace()
trace.ParseFromString(open(sys.argv[1], 'rb').read())
lines, open_bars = {}, {}
for packet in trace.packet:
    assert packet.trusted_packet_sequence_id == 1
    if packet.HasField('track_descriptor'):
        line = packet.track_descriptor
        assert line.name and (not line.parent_uuid or line.parent_uuid in lines)
        lines[line.uuid] = line.name
    if packet.HasField('track_event'):
        event = packet.track_event
        assert event.track_uuid in lines
        step = {pb.TrackEvent.TYPE_SLICE_BEGIN: 1, pb.TrackEvent.TYPE_SLICE_END: -1}.get(event.type, 0)
        open_bars[event.track_uuid] = open_bars.get(event.track_uuid, 0) + step
        assert open_bars[event.track_uuid] >= 0
print(len(trace.packet), 'packets,', len(lines), 'lines')
";

/// The same file by the Perfetto project's own protobufs, from PyPI.
pub fn by_perfetto(port: u16) -> Verdict {
    let folder = host::target_dir().join("perfetto");
    let python = folder.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "perfetto", "protobuf"]))?;
    let path = folder.join("trace.pftrace");
    fs::write(&path, fetch(port, "?ms=500")?)?;
    run(Command::new(&python).arg("-c").arg(CHECK).arg(&path))
}

fn run(command: &mut Command) -> Verdict {
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {said}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
