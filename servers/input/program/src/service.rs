//! Answers calls of [`proto::input`].

use alloc::sync::Arc;

use abi::Error;
use input::Keymap;
use proto::Text;
use proto::input::{Answer, MAX_BYTES, Request, from_bytes, to_bytes};
use rt::Watched;
use rt::sys::endpoint::{Body, Incoming};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Object};

use crate::hub::Hub;

/// Answers for as long as the endpoint lives.
///
/// # Errors
/// What ended it: [`Error::Revoked`].
pub async fn serve(endpoint: &Watched<Endpoint>, hub: &Hub) -> Result<(), Error> {
    loop {
        let call = endpoint.receive().await?;
        let mut handles = Handles::new();
        let answer = match request(&call) {
            Some(request) => match answer(request, hub, &mut handles) {
                Ok(()) => Answer::Done,
                Err(why) => Answer::Refused(Text::from_start(why)),
            },
            // Dropped, the call is answered with that.
            None => continue,
        };
        let mut buffer = [0; MAX_BYTES];
        if let Some(bytes) = to_bytes(&answer, &mut buffer) {
            // The caller may be gone; a channel that was for it is closed then.
            let _ = call.token.reply_long(bytes, &mut handles);
        }
    }
}

fn request(call: &Incoming) -> Option<Request> {
    let Body::Long(_) = call.body else {
        return None;
    };
    let mut bytes = [0; MAX_BYTES];
    let lengths = call.token.read(&mut bytes, &mut Handles::new()).ok()?;
    from_bytes(bytes.get(..lengths.bytes as usize)?)
}

fn answer(request: Request, hub: &Hub, handles: &mut Handles) -> Result<(), &'static str> {
    match request {
        Request::Listen => {
            let (ours, theirs) = Channel::create().map_err(|_| "no memory for a channel")?;
            let ours = Watched::channel(ours).map_err(|_| "no room to watch a channel")?;
            hub.listen(Arc::new(ours));
            handles
                .push(theirs.into_owned())
                .map_err(|_| "no room for a handle")
        }
        Request::SetKeymap(word) => {
            let keymap = Keymap::from_word(&word).ok_or("no such layout")?;
            hub.set_keymap(keymap);
            Ok(())
        }
        Request::SetRepeat {
            delay_ms,
            interval_ms,
        } => {
            hub.set_repeat(delay_ms, interval_ms);
            Ok(())
        }
    }
}
