//! The mechanisms against the examples of their RFCs and hostile brokers.

use super::*;

fn password(username: &str, nonce: &str) -> Credentials {
    let (username, nonce) = (username.to_owned(), nonce.to_owned());
    Credentials::Password { username, password: "pencil".to_owned(), nonce, is_delegation_token: false }
}

fn begin(mechanism: SaslMechanism, credentials: Credentials) -> (Exchange, String) {
    let (exchange, first) = Exchange::begin(mechanism, credentials).expect("these go together");
    (exchange, String::from_utf8(first).expect("it is text"))
}

fn answer(exchange: &mut Exchange, challenge: &str) -> Result<Option<String>, String> {
    let said = exchange.next(challenge.as_bytes())?;
    Ok(said.map(|said| String::from_utf8(said).expect("it is text")))
}

const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

#[test]
fn scram_sha_256_is_as_in_rfc_7677() {
    let (mut exchange, first) = begin(SaslMechanism::ScramSha256, password("user", "rOprNGfwEbeRWgbNEkqO"));
    assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(answer(&mut exchange, SERVER_FIRST), Ok(Some(last.to_owned())));
    assert_eq!(answer(&mut exchange, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(None));
    assert!(answer(&mut exchange, "v=").is_err_and(|why| why.contains("goes on")));
}

/// RFC 5802's exchange with the other digest: computed with Python's `hashlib` and `hmac`.
#[test]
fn scram_sha_512_differs_by_its_digest_alone() {
    let (mut exchange, first) = begin(SaslMechanism::ScramSha512, password("user", "fyko+d2lbbFgONRv9qkxdawL"));
    assert_eq!(first, "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
    let server = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
    let last = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=VdS8LkrURiej1tG6iX+fqCXQfUnBb//d9llXYaH+ylUbDwBUz9geyR9fC4TewskRUM2tlYSalhAT4Aay1Q5dTA==";
    assert_eq!(answer(&mut exchange, server), Ok(Some(last.to_owned())));
    assert_eq!(
        answer(
            &mut exchange,
            "v=14PAAuavk9hxBEkgB0brDxUhvWu+N16meYk+qxVNFqchR8QPohM09Y4Z6WaTCuX4C6nqMB9KIJTDm6RpSM990g=="
        ),
        Ok(None)
    );
}

#[test]
fn names_are_escaped_and_delegation_tokens_marked() {
    let (_, first) = begin(SaslMechanism::ScramSha256, password("a=b,c", "n"));
    assert_eq!(first, "n,,n=a=3Db=2Cc,r=n");
    let token = Credentials::Password {
        username: "id".to_owned(),
        password: "hmac".to_owned(),
        nonce: "n".to_owned(),
        is_delegation_token: true,
    };
    assert_eq!(begin(SaslMechanism::ScramSha512, token).1, "n,,n=id,r=n,tokenauth=true");
}

#[test]
fn a_broker_that_proves_nothing_is_not_trusted() {
    for (server, expected) in [
        ("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "does not begin with the client's"),
        ("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "does not begin with the client's"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=%,i=4096", "salt is unreadable"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", "not from 4096"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000", "not from 4096"),
        ("e=unknown-user", "the broker says `unknown-user`"),
        ("", "does not begin"),
    ] {
        let (mut exchange, _) = begin(SaslMechanism::ScramSha256, password("user", "rOprNGfwEbeRWgbNEkqO"));
        let said = answer(&mut exchange, server).expect_err(server);
        assert!(said.contains(expected), "{server}: {said}");
    }
    let (mut exchange, _) = begin(SaslMechanism::ScramSha256, password("user", "rOprNGfwEbeRWgbNEkqO"));
    assert!(exchange.next(&[0xff]).is_err_and(|why| why.contains("not text")));
    let (mut exchange, _) = begin(SaslMechanism::ScramSha256, password("user", "rOprNGfwEbeRWgbNEkqO"));
    answer(&mut exchange, SERVER_FIRST).expect("it is right");
    let said = answer(&mut exchange, "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert!(said.is_err_and(|why| why.contains("does not prove")));
}

#[test]
fn plain_and_tokens_are_one_message() {
    let (mut exchange, first) = begin(SaslMechanism::Plain, password("alice", ""));
    assert_eq!((first.as_str(), answer(&mut exchange, "")), ("\0alice\0pencil", Ok(None)));
    assert!(Exchange::begin(SaslMechanism::Plain, password("a\0b", "")).is_err_and(|why| why.contains("NUL")));
    assert!(Exchange::begin(SaslMechanism::OAuthBearer, password("a", "")).is_err());
    let extensions = vec![("logicalCluster".to_owned(), "lkc-1".to_owned())];
    let token = Credentials::Token { token: "t.o.k".to_owned(), extensions };
    let (mut exchange, first) = begin(SaslMechanism::OAuthBearer, token.clone());
    assert_eq!(first, "n,,\u{1}auth=Bearer t.o.k\u{1}logicalCluster=lkc-1\u{1}\u{1}");
    let (mut refused, _) = begin(SaslMechanism::OAuthBearer, token);
    assert_eq!(answer(&mut exchange, ""), Ok(None));
    assert_eq!(answer(&mut refused, r#"{"status":"invalid_token"}"#), Ok(Some("\u{1}".to_owned())));
    assert_eq!(refused.reason(), Some(r#"{"status":"invalid_token"}"#));
    assert!(answer(&mut refused, "").is_err());
}

#[test]
fn secrets_are_not_shown() {
    let credentials = password("alice", "n");
    let (exchange, _) = begin(SaslMechanism::ScramSha256, credentials.clone());
    assert!(!format!("{credentials:?}{exchange:?}").contains("pencil"));
}
