//! Contracts: requests come through, nonsense is answered, restarts are survived by what may be.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use abi::Error;
use proptest::prelude::*;
use proto::Text;
use proto::contract::{
    CallError, Caller, Dispatch, DispatchAtOnce, Status, Transport, from_words, in_words,
    room_in_words, to_words,
};
use proto::echo::{AtOnce, Client, METHODS, Serve, Server, dictionary};

/// Runs a future that never waits.
fn run<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here waits"),
    }
}

#[derive(Default)]
struct Echo {
    calls: AtomicU64,
}

impl Server for Echo {
    async fn number(&self, _: Caller, value: u64) -> u64 {
        value
    }
    async fn text(&self, _: Caller, text: Text<512>, _: u32) -> Text<512> {
        text
    }
    async fn count(&self, caller: Caller) -> u64 {
        assert_eq!(caller.badge, 5);
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The text is one that must be waited for.
impl AtOnce for Echo {
    fn number(&self, _: Caller, value: u64) -> Option<u64> {
        Some(value)
    }
    fn count(&self, _: Caller) -> Option<u64> {
        Some(self.calls.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// A server that dies at some calls, after it did what was asked.
struct Fake {
    server: Serve<Echo>,
    /// How many calls end with the server's death from now on.
    deaths: AtomicU32,
    reconnects: AtomicU32,
    /// After this many reconnects there is no server any more.
    lives: u32,
    /// Answers with this instead.
    nonsense: Option<Vec<u8>>,
}

impl Fake {
    fn dying(deaths: u32, lives: u32) -> Self {
        Self {
            server: Serve(Echo::default()),
            deaths: AtomicU32::new(deaths),
            reconnects: AtomicU32::new(0),
            lives,
            nonsense: None,
        }
    }

    fn saying(nonsense: &[u8]) -> Self {
        Self {
            nonsense: Some(nonsense.to_vec()),
            ..Self::dying(0, 0)
        }
    }
}

impl Transport for &Fake {
    async fn call(&self, request: &[u8], answer: &mut [u8]) -> Result<usize, Error> {
        if let Some(nonsense) = &self.nonsense {
            answer[..nonsense.len()].copy_from_slice(nonsense);
            return Ok(nonsense.len());
        }
        let len = self
            .server
            .dispatch(Caller { badge: 5 }, request, answer)
            .await;
        let died = self
            .deaths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        if died {
            Err(Error::PeerClosed)
        } else {
            Ok(len)
        }
    }

    async fn reconnect(&self) -> bool {
        self.reconnects.fetch_add(1, Ordering::Relaxed) < self.lives
    }
}

#[test]
fn calls_come_through() {
    let fake = Fake::dying(0, 0);
    let client = Client(&fake);
    assert_eq!(run(client.number(u64::MAX)), Ok(u64::MAX));
    let text = Text::<512>::from("x".repeat(500).as_str());
    assert_eq!(run(client.text(text.clone(), 0)), Ok(text));
    assert_eq!(run(client.count()), Ok(1));
    assert_eq!(run(client.count()), Ok(2));
}

#[test]
fn methods_have_names_and_marks() {
    let marks: Vec<_> = METHODS
        .iter()
        .map(|method| (method.name, method.idempotent))
        .collect();
    assert_eq!(marks, [("number", true), ("text", true), ("count", false)]);
}

#[test]
fn only_what_is_idempotent_is_sent_again() {
    let fake = Fake::dying(3, 10);
    assert_eq!(run(Client(&fake).number(7)), Ok(7));
    assert_eq!(fake.reconnects.load(Ordering::Relaxed), 3);
    let fake = Fake::dying(1, 10);
    assert_eq!(run(Client(&fake).count()), Err(CallError::Lost));
    // It was done once, and not twice; the next call finds the new instance.
    assert_eq!(run(Client(&fake).count()), Ok(2));
    let fake = Fake::dying(3, 1);
    assert_eq!(run(Client(&fake).number(7)), Err(CallError::Lost));
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    for (answer, error) in [
        (&[][..], CallError::Malformed),
        (&[0], CallError::Malformed),
        (&[0, 1, 2], CallError::Malformed),
        (&[1], CallError::Refused(Status::UnknownMethod)),
        (&[2], CallError::Refused(Status::Malformed)),
        (&[3], CallError::Refused(Status::TooLong)),
        (&[4], CallError::Malformed),
        (&[255; 64], CallError::Malformed),
    ] {
        assert_eq!(
            run(Client(&Fake::saying(answer)).number(1)),
            Err(error),
            "{answer:?}"
        );
    }
}

/// The status of the answer to a request.
fn status(request: &[u8]) -> Option<Status> {
    let mut answer = [0xaa; <Serve<Echo> as Dispatch>::MAX_BYTES];
    let server = Serve(Echo::default());
    let len = run(server.dispatch(Caller { badge: 5 }, request, &mut answer));
    Status::from_raw(*answer[..len].first()?)
}

#[test]
fn the_dictionary_is_understood() {
    let mut count = 0;
    dictionary(|request| {
        assert_eq!(status(request), Some(Status::Done));
        count += 1;
    });
    assert_eq!(count, METHODS.len());
    assert_eq!(status(&[]), Some(Status::Malformed));
    assert_eq!(status(&[3]), Some(Status::UnknownMethod));
    assert_eq!(status(&[0]), Some(Status::Malformed));
    assert_eq!(
        status(&[2, 0]),
        Some(Status::Malformed),
        "more than the arguments"
    );
}

proptest! {
    #[test]
    fn every_request_is_answered(request in prop::collection::vec(any::<u8>(), 0..600), method in 0_u8..5) {
        prop_assert!(status(&request).is_some());
        let mut request = request;
        request.insert(0, method);
        prop_assert!(status(&request).is_some());
    }

    #[test]
    fn damaged_requests_are_answered(at in 0_usize..16, byte in any::<u8>(), cut in 0_usize..16) {
        dictionary(|request| {
            let mut request = request.to_vec();
            if let Some(place) = request.get_mut(at) {
                *place = byte;
            }
            request.truncate(cut);
            assert!(status(&request).is_some());
        });
    }

    #[test]
    fn short_messages_fit_into_words(message in prop::collection::vec(any::<u8>(), 0..80)) {
        match to_words(&message) {
            Some(words) => {
                let mut back = [0; 64];
                let len = from_words(&words, &mut back).expect("a message");
                prop_assert_eq!(&back[..len], &message[..]);
            }
            None => prop_assert!(message.len() > proto::contract::SHORT_BYTES),
        }
    }

    #[test]
    fn any_words_do_no_harm(words in prop::array::uniform8(any::<u64>()), room in 0_usize..80) {
        let mut message = vec![0; room];
        if let Some(len) = from_words(&words, &mut message) {
            prop_assert!(len <= room && len <= proto::contract::SHORT_BYTES);
        }
    }
}

/// The answer at once to a request, if there is one.
fn at_once(request: &[u8]) -> Option<Vec<u8>> {
    let mut answer = [0; <Serve<Echo> as Dispatch>::MAX_BYTES];
    let server = Serve(Echo::default());
    let len = server.dispatch_at_once(Caller { badge: 5 }, request, &mut answer)?;
    Some(answer[..len].to_vec())
}

/// The answer to it in any case.
fn in_time(request: &[u8]) -> Vec<u8> {
    let mut answer = [0; <Serve<Echo> as Dispatch>::MAX_BYTES];
    let server = Serve(Echo::default());
    let len = run(server.dispatch(Caller { badge: 5 }, request, &mut answer));
    answer[..len].to_vec()
}

#[test]
fn what_is_answered_at_once_is_what_needs_no_waiting() {
    let mut answered = Vec::new();
    dictionary(|request| answered.push(at_once(request).is_some()));
    assert_eq!(answered, [true, false, true]);
    // Whatever is wrong with a request, it is the other way that says so.
    for request in [&[][..], &[0], &[2, 0], &[3]] {
        assert_eq!(at_once(request), None, "{request:?}");
    }
}

#[test]
fn an_answer_too_long_is_not_asked_for_again() {
    let server = Serve(Echo::default());
    let mut answer = [0; 1];
    let len = server.dispatch_at_once(Caller { badge: 5 }, &[2], &mut answer);
    assert_eq!((len, answer), (Some(1), [Status::TooLong as u8]));
    assert_eq!(server.0.calls.load(Ordering::Relaxed), 1);
}

proptest! {
    #[test]
    fn an_answer_at_once_is_the_answer(request in prop::collection::vec(any::<u8>(), 0..16), method in 0_u8..4) {
        let mut request = request;
        request.insert(0, method);
        if let Some(answer) = at_once(&request) {
            prop_assert_eq!(answer, in_time(&request));
        }
    }

    #[test]
    fn messages_in_words_are_those_that_are_copied(words in prop::array::uniform8(any::<u64>())) {
        let mut message = [0; 64];
        let copied = from_words(&words, &mut message).map(|len| &message[..len]);
        prop_assert_eq!(in_words(&words), copied);
        if let Some(message) = copied {
            let mut put = [0; 8];
            let (len, place) = room_in_words(&mut put).expect("words have room");
            place[..message.len()].copy_from_slice(message);
            *len = message.len() as u8;
            prop_assert_eq!(Some(put), to_words(message));
        }
    }
}

#[test]
fn a_dropped_call_is_no_message() {
    assert_eq!(from_words(&[u64::MAX; 8], &mut [0; 256]), None);
}
