//! Programs: how they connect, and what they ask.

use alloc::sync::Arc;

use abi::Rights;
use abi::message::MAX_HANDLES;
use compositor::ClientId;
use executor::sync::Notify;
use proto::window::{CONNECT, DONE, Event, MAX_REQUEST_BYTES, Request, from_bytes};
use rt::sys::endpoint::{Body, Incoming};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Object, Owned, Vmo};
use rt::{Either3, Watched, first_of_3};

use crate::state::{ROOM, Shared, State};
use crate::turns::Turns;

/// Most bytes of the clipboard.
const MOST_CLIPBOARD_BYTES: u32 = 16 << 20;

/// Gives channels to programs that ask for one.
pub async fn accept(endpoint: Watched<Endpoint>, is_desktop: bool, shared: Arc<Shared>) {
    while let Ok(call) = endpoint.receive().await {
        if let Err(why) = connect(call, is_desktop, &shared) {
            log::warn!("a program could not connect: {why}");
        }
    }
}

fn connect(call: Incoming, is_desktop: bool, shared: &Arc<Shared>) -> Result<(), &'static str> {
    let mut request = [0; 8];
    let asked = match call.body {
        Body::Long(_) => call
            .token
            .read(&mut request, &mut Handles::new())
            .map(|lengths| lengths.bytes),
        Body::Words(_) => return Err("it did not ask for a channel"),
    };
    if asked != Ok(1) || request.first() != Some(&CONNECT) {
        // Dropped, the call is answered with that.
        return Err("it did not ask for a channel");
    }
    let (ours, theirs) = Channel::create().map_err(|_| "no memory for a channel")?;
    let ours = Arc::new(Watched::channel(ours).map_err(|_| "no room to watch a channel")?);
    let mut handles = Handles::new();
    let _ = handles.push(theirs.into_owned());
    if call.token.reply_long(&[DONE], &mut handles).is_err() {
        return Err("it is gone");
    }
    let (client, changed) = shared.change(|state| state.connect(Arc::clone(&ours), is_desktop));
    let of_task = Arc::clone(shared);
    let task = async move { serve(client, &ours, &changed, &of_task).await };
    rt::spawn("client", task).map_err(|_| {
        shared.change(|state| state.disconnect(client));
        "no room for another task"
    })
}

/// Does what a program asks, until it is gone.
async fn serve(client: ClientId, channel: &Watched<Channel>, changed: &Notify, shared: &Shared) {
    let mut handles = Handles::new();
    let mut bytes = [0; MAX_REQUEST_BYTES];
    let mut is_behind = false;
    let mut turns = Turns::new();
    loop {
        turns.next().await;
        let room = async {
            match is_behind {
                true => channel.signalled(ROOM).await.is_ok(),
                false => core::future::pending().await,
            }
        };
        match first_of_3(
            channel.receive(&mut bytes, &mut handles),
            room,
            changed.notified(),
        )
        .await
        {
            Either3::A(Ok(lengths)) => {
                let message = bytes.get(..lengths.bytes as usize).unwrap_or_default();
                let Some(request) = from_bytes::<Request>(message) else {
                    log::warn!("program {client} sent what is no request: cut off");
                    break;
                };
                let handle = handles.pop_front();
                shared.change(|state| ask(state, client, request, handle));
            }
            Either3::A(Err(_)) | Either3::B(false) => break,
            Either3::B(true) | Either3::C(()) => is_behind = shared.lock().flush(client),
        }
        if !shared.lock().is_connected(client) {
            return;
        }
    }
    shared.change(|state| state.disconnect(client));
}

fn ask(state: &mut State, client: ClientId, request: Request, handle: Option<Owned>) {
    match request {
        Request::Copy { bytes } => {
            if let Err(why) = copy(state, client, bytes, handle) {
                let event = Event::Refused {
                    window: 0,
                    why: proto::Text::from_start(why),
                };
                state.send(client, &event, None);
            }
        }
        Request::Paste => paste(state, client),
        other => state.desk.request(client, other),
    }
}

const NOT_NOW: &str = "the clipboard is for the program whose window has the focus";

fn copy(
    state: &mut State,
    client: ClientId,
    bytes: u32,
    handle: Option<Owned>,
) -> Result<(), &'static str> {
    if !state.desk.has_focus(client) {
        return Err(NOT_NOW);
    }
    if bytes > MOST_CLIPBOARD_BYTES {
        return Err("the clipboard has room for 16 MiB");
    }
    let theirs = handle
        .and_then(|handle| handle.cast::<Vmo>().ok())
        .ok_or("the text's vmo did not come along")?;
    // A copy of one's own: what the program does with its memory from now on is not seen.
    let ours = theirs
        .clone_range(
            0,
            u64::from(bytes.max(1)).next_multiple_of(abi::memory::PAGE_BYTES),
        )
        .map_err(|_| "the text's vmo cannot be read")?;
    state.clipboard = Some((ours, bytes));
    Ok(())
}

fn paste(state: &mut State, client: ClientId) {
    if !state.desk.has_focus(client) {
        let event = Event::Refused {
            window: 0,
            why: proto::Text::from_start(NOT_NOW),
        };
        return state.send(client, &event, None);
    }
    let rights = Rights::READ | Rights::MAP | Rights::INSPECT | Rights::TRANSFER;
    let given = state
        .clipboard
        .as_ref()
        .and_then(|(vmo, bytes)| Some((vmo.duplicate(rights).ok()?, *bytes)));
    match given {
        Some((vmo, bytes)) => state.send(client, &Event::Pasted { bytes }, Some(vmo.into_owned())),
        None => state.send(client, &Event::Pasted { bytes: 0 }, None),
    }
}

const _: () = assert!(MAX_HANDLES >= 1);
