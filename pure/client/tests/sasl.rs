//! How a client says who it is: a scripted broker that lets it in, asks again, refuses, and ends its session.

use bytes::{Bytes, BytesMut};
use client::{
    Call, Cluster, Credentials, Event, Failure, Instant, LinkId, Options, SaslMechanism, Target, Text, Transmit,
};
use types::ErrorCode;
use types::codec::Reader;
use wire::api_versions_response::ApiVersion;
use wire::{
    ApiKey, ApiVersionsResponse, Body, ListGroupsRequest, ListGroupsResponse, Request, RequestHeader,
    SaslAuthenticateResponse, SaslHandshakeResponse,
};

struct World {
    cluster: Cluster,
    now: Instant,
    link: LinkId,
    sent: BytesMut,
    /// Correlation and version of what waits for its answer.
    asked: Vec<(i32, i16)>,
}

impl World {
    fn new(sasl: SaslMechanism) -> World {
        let bootstrap = vec![("broker".to_owned(), 9092)];
        let cluster = Cluster::new(Options { bootstrap, sasl: Some(sasl), ..Options::default() });
        World { cluster, now: Instant(1_000_000), link: LinkId(0), sent: BytesMut::new(), asked: Vec::new() }
    }

    fn ask(&mut self) -> Call {
        self.cluster.call(self.now, Target::Any, ListGroupsRequest::default())
    }

    /// What the client does next.
    fn next(&mut self) -> String {
        let Some(transmit) = self.cluster.poll_transmit() else { return "nothing".to_owned() };
        match transmit {
            Transmit::Connect { link, host, .. } => {
                self.link = link;
                format!("connect to {host}")
            }
            Transmit::Identify { link } => {
                assert_eq!(link, self.link);
                "identify".to_owned()
            }
            Transmit::Close { why, is_denied, .. } => format!("close, denied {is_denied}: {}", why.unwrap_or_default()),
            Transmit::Send { bytes, .. } => {
                self.sent.extend_from_slice(&bytes);
                let frame = wire::split_message(&mut self.sent, 1 << 20).expect("it is a frame").expect("it is whole");
                self.read(frame)
            }
        }
    }

    fn read(&mut self, frame: Bytes) -> String {
        let mut reader = Reader::new(frame);
        let (key, header) = RequestHeader::read(&mut reader).expect("it is a header");
        self.asked.push((header.correlation_id, header.request_api_version));
        match Request::decode(key, &mut reader, header.request_api_version).expect("it is a request") {
            Request::SaslHandshake(handshake) => format!("handshake {}", handshake.mechanism),
            Request::SaslAuthenticate(said) => format!("say {}", said.auth_bytes.escape_ascii()),
            other => format!("{:?}", other.key()),
        }
    }

    fn event(&mut self, event: Event<'_>) {
        self.cluster.handle(self.now, event);
    }

    fn answer(&mut self, body: &dyn Body) {
        let (correlation, version) = self.asked.remove(0);
        let mut bytes = BytesMut::from(&wire::encode_response(correlation, version, body).buffer[..]);
        self.event(Event::Received(self.link, &mut bytes));
    }

    fn identify(&mut self, password: &str) {
        let (username, nonce) = ("alice".to_owned(), "abc".to_owned());
        let password = password.to_owned();
        let credentials = Credentials::Password { username, password, nonce, is_delegation_token: false };
        self.event(Event::Identified(self.link, credentials));
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            let next = self.next();
            assert!(next.contains(expected), "{next} and not {expected}");
        }
        assert_eq!(self.next(), "nothing");
    }

    fn versions(&mut self, keys: &[ApiKey]) {
        let range = |key: &ApiKey| ApiVersion {
            api_key: key.number(),
            min_version: *key.versions().start(),
            max_version: *key.versions().end(),
            ..Default::default()
        };
        self.answer(&ApiVersionsResponse { api_keys: keys.iter().map(range).collect(), ..Default::default() });
    }

    /// Up to where the client has been let in with PLAIN, for a session as long as this.
    fn begin(&mut self, session_lifetime_ms: i64) -> Call {
        let call = self.ask();
        self.expect(&["connect to broker"]);
        self.event(Event::Connected(self.link));
        self.expect(&["ApiVersions"]);
        self.versions(&[ApiKey::SaslHandshake, ApiKey::SaslAuthenticate, ApiKey::ListGroups]);
        self.enter(session_lifetime_ms);
        self.expect(&["ListGroups"]);
        call
    }

    fn enter(&mut self, session_lifetime_ms: i64) {
        self.expect(&["identify"]);
        self.identify("secret");
        self.expect(&["handshake PLAIN"]);
        self.answer(&SaslHandshakeResponse { mechanisms: vec![Text::from_static("PLAIN")], ..Default::default() });
        self.expect(&["say \\x00alice\\x00secret"]);
        self.answer(&SaslAuthenticateResponse { session_lifetime_ms, ..Default::default() });
    }

    #[track_caller]
    fn expect_answers(&mut self, expected: &[(Call, Result<(), Failure>)]) {
        let answers = self.cluster.take_answers();
        let answers: Vec<_> = answers.into_iter().map(|(call, result)| (call, result.map(drop))).collect();
        assert_eq!(answers, expected);
    }
}

#[test]
fn nothing_is_asked_before_the_broker_knows_who_asks() {
    let mut world = World::new(SaslMechanism::Plain);
    let call = world.begin(0);
    world.answer(&ListGroupsResponse::default());
    world.expect_answers(&[(call, Ok(()))]);
    world.now = world.now.plus_ms(86_400_000 / 1000);
    let again = world.ask();
    world.expect(&["ListGroups"]);
    world.answer(&ListGroupsResponse::default());
    world.expect_answers(&[(again, Ok(()))]);
}

#[test]
fn a_session_that_ends_soon_is_begun_anew_before_the_next_question() {
    let mut world = World::new(SaslMechanism::Plain);
    let first = world.begin(10_000);
    world.now = world.now.plus_ms(8000);
    let second = world.ask();
    world.expect(&["ListGroups"]);
    world.now = world.now.plus_ms(1500);
    let third = world.ask();
    let fourth = world.ask();
    world.expect(&["identify"]);
    // What was under way is answered first.
    world.answer(&ListGroupsResponse::default());
    world.identify("secret");
    world.expect(&["handshake PLAIN"]);
    world.answer(&ListGroupsResponse::default());
    world.answer(&SaslHandshakeResponse::default());
    world.expect(&["say \\x00alice\\x00secret"]);
    world.expect_answers(&[(first, Ok(())), (second, Ok(()))]);
    world.answer(&SaslAuthenticateResponse { session_lifetime_ms: 10_000, ..Default::default() });
    world.expect(&["ListGroups", "ListGroups"]);
    world.answer(&ListGroupsResponse::default());
    world.answer(&ListGroupsResponse::default());
    world.expect_answers(&[(third, Ok(())), (fourth, Ok(()))]);
    // The old session's end is no matter any more; the new one's is.
    world.now = world.now.plus_ms(8000);
    world.ask();
    world.expect(&["ListGroups"]);
    world.now = world.now.plus_ms(1600);
    world.ask();
    world.expect(&["identify"]);
}

#[test]
fn a_session_that_is_not_renewed_breaks_what_was_asked() {
    let mut world = World::new(SaslMechanism::Plain);
    let first = world.begin(10_000);
    world.now = world.now.plus_ms(9600);
    let second = world.ask();
    world.expect(&["identify"]);
    world.identify("other");
    world.expect(&["handshake PLAIN"]);
    world.answer(&ListGroupsResponse::default());
    world.answer(&SaslHandshakeResponse::default());
    world.expect(&["say \\x00alice\\x00other"]);
    let error_message = Some(Text::from_static("Cannot change principals"));
    let error_code = ErrorCode::SASL_AUTHENTICATION_FAILED;
    world.answer(&SaslAuthenticateResponse { error_code, error_message, ..Default::default() });
    world.expect(&["close, denied true: the broker refuses this client's PLAIN credentials: Cannot change principals"]);
    world.expect_answers(&[(first, Ok(())), (second, Err(Failure::Denied))]);
}

#[test]
fn who_is_refused_is_told_so_at_once_and_not_asked_for_again_in_a_rush() {
    let mut world = World::new(SaslMechanism::Plain);
    let call = world.ask();
    world.expect(&["connect"]);
    world.event(Event::Connected(world.link));
    world.expect(&["ApiVersions"]);
    world.versions(&[ApiKey::SaslHandshake, ApiKey::SaslAuthenticate, ApiKey::ListGroups]);
    world.expect(&["identify"]);
    world.identify("wrong");
    world.expect(&["handshake PLAIN"]);
    world.answer(&SaslHandshakeResponse::default());
    world.expect(&["say"]);
    let error_code = ErrorCode::SASL_AUTHENTICATION_FAILED;
    world.answer(&SaslAuthenticateResponse { error_code, ..Default::default() });
    world.expect(&["it gives no reason"]);
    world.expect_answers(&[(call, Err(Failure::Denied))]);
    // While it waits to dial again nobody else waits with it.
    let late = world.ask();
    world.expect(&[]);
    world.expect_answers(&[(late, Err(Failure::Denied))]);
    world.now = world.now.plus_ms(5000);
    world.ask();
    world.expect(&["connect"]);
}

#[test]
fn a_mechanism_that_is_not_enabled_is_answered_with_those_that_are() {
    for (error_code, expected) in [
        (
            ErrorCode::UNSUPPORTED_SASL_MECHANISM,
            "PLAIN is not enabled there: set sasl.mechanism to one of SCRAM-SHA-512, OAUTHBEARER",
        ),
        (ErrorCode::ILLEGAL_SASL_STATE, "it wants no SASL here: set security.protocol to PLAINTEXT or SSL"),
    ] {
        let mut world = World::new(SaslMechanism::Plain);
        let call = world.ask();
        world.expect(&["connect"]);
        world.event(Event::Connected(world.link));
        world.expect(&["ApiVersions"]);
        world.versions(&[ApiKey::SaslHandshake, ApiKey::SaslAuthenticate]);
        world.expect(&["identify"]);
        world.identify("secret");
        world.expect(&["handshake"]);
        let mechanisms = ["SCRAM-SHA-512", "OAUTHBEARER"].map(Text::from_static).to_vec();
        world.answer(&SaslHandshakeResponse { error_code, mechanisms });
        world.expect(&[expected]);
        world.expect_answers(&[(call, Err(Failure::Denied))]);
    }
}

#[test]
fn a_broker_without_sasl_is_not_told_a_secret() {
    let mut world = World::new(SaslMechanism::ScramSha256);
    world.ask();
    world.expect(&["connect"]);
    world.event(Event::Connected(world.link));
    world.expect(&["ApiVersions"]);
    world.versions(&[ApiKey::ListGroups]);
    world.expect(&["it knows no SASL that this client speaks: set security.protocol to PLAINTEXT or SSL"]);
}

#[test]
fn a_broker_has_to_prove_itself_where_the_mechanism_has_it_do_so() {
    let mut world = World::new(SaslMechanism::ScramSha256);
    let call = world.ask();
    world.expect(&["connect"]);
    world.event(Event::Connected(world.link));
    world.expect(&["ApiVersions"]);
    world.versions(&[ApiKey::SaslHandshake, ApiKey::SaslAuthenticate, ApiKey::ListGroups]);
    world.expect(&["identify"]);
    world.identify("secret");
    world.expect(&["handshake SCRAM-SHA-256"]);
    world.answer(&SaslHandshakeResponse::default());
    world.expect(&["say n,,n=alice,r=abc"]);
    // One that says yes without having been asked to prove anything.
    world.answer(&SaslAuthenticateResponse::default());
    world.expect(&["close, denied true: the broker's SCRAM nonce does not begin with the client's"]);
    world.expect_answers(&[(call, Err(Failure::Denied))]);
}

#[test]
fn a_driver_without_credentials_ends_the_call() {
    let mut world = World::new(SaslMechanism::OAuthBearer);
    let call = world.ask();
    world.expect(&["connect"]);
    world.event(Event::Connected(world.link));
    world.expect(&["ApiVersions"]);
    world.versions(&[ApiKey::SaslHandshake, ApiKey::SaslAuthenticate, ApiKey::ListGroups]);
    world.expect(&["identify"]);
    world.event(Event::Denied(world.link));
    world.expect_answers(&[(call, Err(Failure::Denied))]);
    // What nobody asked for changes nothing.
    world.identify("secret");
    world.expect(&[]);
}

#[test]
fn tls_is_told_from_an_answer() {
    let mut world = World::new(SaslMechanism::Plain);
    world.ask();
    world.expect(&["connect"]);
    world.event(Event::Connected(world.link));
    world.expect(&["ApiVersions"]);
    let mut alert = BytesMut::from(&[0x15, 3, 3, 0, 2, 2, 80][..]);
    world.event(Event::Received(world.link, &mut alert));
    world.expect(&["close, denied false: it speaks TLS: set security.protocol to SSL or SASL_SSL"]);
}
