//! Stores as openssl and Java's keytool write them.

use super::*;

const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgB7J++MLNfoKBc5dE
06ImpQw1GDwaUvVkbkkditaqcKWhRANCAAQeVtHDWmqruKt+DayNJ6SPc2cIHf8c
+6SkV+z7uvoUMGcRlBZTLsKqyNLzvaeeWt+0aeyztJV/ioxsDImIyPNK
-----END PRIVATE KEY-----
";
/// The same, by `openssl pkcs8 -topk8 -v2 aes-256-cbc` under the password `pencil`.
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjFTFjf9w2X/gICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEOUU3xIreRBJUUsjdJODoX0EgZAZ
KlLGhpmdEAvCAOgfq0XK179ev2yQMdXKebitZGMGTV+aUIP3sGRP19/V3tk/dSMN
RZoanguc1j4JIzN413qpOf2/pJRt5RyCsuElBtLeZ/IUF+CETx/dXekJVuqGeOzm
EDs7mAH5BMO74UN16EvoH6TlHQ+TO/3rb0cEf82Rs+rfX7Yk5fKgpZ7wGySkccU=
-----END ENCRYPTED PRIVATE KEY-----
";
/// Its certificate, until 2126.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBejCCAR+gAwIBAgIUIZwch9YaiJw8o1KZBACAa4wZwoswCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGY2xpZW50MCAXDTI2MTEyNjE1NTUzOFoYDzIxMjYxMTAyMTU1
NTM4WjARMQ8wDQYDVQQDDAZjbGllbnQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQeVtHDWmqruKt+DayNJ6SPc2cIHf8c+6SkV+z7uvoUMGcRlBZTLsKqyNLzvaee
Wt+0aeyztJV/ioxsDImIyPNKo1MwUTAdBgNVHQ4EFgQUpat4TT+N9DOY9cuNuG57
bKxmaGwwHwYDVR0jBBgwFoAUpat4TT+N9DOY9cuNuG57bKxmaGwwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAtbNkEoLjUjCijpMcmeeZswVUpD5B
itnS+v5xfZkdk6QCIQCQbqUzUBf4NAfGuorNxk5oNvs2a4lnO2XNd5BbNBd9pg==
-----END CERTIFICATE-----
";
/// What `keytool -genkeypair -keyalg EC -storetype PKCS12 -storepass pencil` of Java 21 writes.
const KEYTOOL: &str = "
MIID2AIBAzCCA4IGCSqGSIb3DQEHAaCCA3MEggNvMIIDazCCASIGCSqGSIb3DQEHAaCCARMEggEPMIIBCzCCAQcGCyqGSIb3DQEMCgECoIG9MI
G6MGYGCSqGSIb3DQEFDTBZMDgGCSqGSIb3DQEFDDArBBRMb/dGCugxTPGSmz2E6+3oLccL2QICJxACASAwDAYIKoZIhvcNAgkFADAdBglghkgB
ZQMEASoEEACmpUI4TXXkij/soxFZdSEEUGR+EM9de1mrapJ8bHMQY3yBcV7+BLowt6NLRJ6NnBsiFaAAod042jW9v/tuJ18qbwKF5qr7Noypos
GTlHhnUPlQpOeUhnpjKDnODf0Q/ztqMTgwEwYJKoZIhvcNAQkUMQYeBABtAGUwIQYJKoZIhvcNAQkVMRQEElRpbWUgMTc5NTcwODU4MTg5MzCC
AkEGCSqGSIb3DQEHBqCCAjIwggIuAgEAMIICJwYJKoZIhvcNAQcBMGYGCSqGSIb3DQEFDTBZMDgGCSqGSIb3DQEFDDArBBSQD0WfDLmDx1jeh+
cIuUAZ5oK0rQICJxACASAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEECF6RstY0KdrD8XG2YWxUDGAggGwfRZTiwnV8wHRGJU2sa9S9VK8
qhzIKiy7P0fK9omyz7J+QV+zwD159HXzOH4gyEoV8lYDps3ltpPaQ1xs4fxZjiKcT2ZZCvLgw+Fw6iHwe47ppg2+xEr5Rb2DoOpx9xDM1w7Gn2
j/jrIxWD4cH4kTfT+TgezeOuAjyFBnP1XGCCLCnQEU+STIQ03BEzw6lRDNwbPJYjvsjphn436LaPWwKSlahf7WD6pUsQPzSUpjCuZo/2pUy2sk
IamMrYctHi70TCJHzd9ZLjS22ZtvD20Ygan1ug+/JhefeudHEsHbNwCzB7DmZVxA17vYDFTGkL0cPPgWcc1RsBtOQjbN1n8Qhlkf51YfZ3r88m
C6TUE2VlTMXc5ohBlVSNkMZUan5KcJODqR8hEjTUjFnYlnDAkJIa53j1e5VI/0nb8a7wZIcCK726E+kdngdMYOY9SH+XSLp+AZODkFEjRf4met
NSRxRKYP+7ySgMHhgIBvaiah4cqKDgr7Ia87pEpsvN0rpgIkmwB1z/fxF59m232ixt9hiRW2kKEAb3amDF1KIHOFDKpW/n1DN9oiV2BxvOGief
cQME0wMTANBglghkgBZQMEAgEFAAQgkecP3v7h+klrQ0Q9c7cj5g+HnlFtAMjxtI3cWQ0r/doEFOB/LGJOgRLvXxqEIuVEEovfva/mAgInEA==
";

fn inline(certificates: &str, key: &str) -> Store {
    Store { certificates: Secret(certificates.to_owned()), key: Secret(key.to_owned()), ..Store::default() }
}

/// A store in a file, which goes with it.
struct File(Store);

impl File {
    fn new(name: &str, bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("vltava-store-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("the temporary folder can be written to");
        File(Store { location: path.display().to_string(), ..Store::default() })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0.location);
    }
}

fn read(store: &Store, password: &str) -> Result<Content, String> {
    store.read("ssl.keystore", &Secret(password.to_owned()))
}

#[test]
fn pem_is_read_from_options_and_files_encrypted_or_on_one_line() {
    let plain = read(&inline(CERTIFICATE, KEY), "").expect("it is right");
    assert_eq!(plain.certificates.len(), 1);
    let line = |text: &str| text.replace('\n', " ");
    let encrypted = read(&inline(&line(CERTIFICATE), &line(ENCRYPTED)), "pencil").expect("it is right");
    assert_eq!((&encrypted.certificates, &encrypted.key), (&plain.certificates, &plain.key));
    let file = File::new("both.pem", format!("a comment\n{CERTIFICATE}{CERTIFICATE}{KEY}").as_bytes());
    let both = read(&file.0, "").expect("it is right");
    assert_eq!((both.certificates.len(), &both.key), (2, &plain.key));
    let wrong = read(&inline(CERTIFICATE, ENCRYPTED), "wrong").expect_err("it is the wrong password");
    assert!(wrong.contains("is ssl.key.password right?"), "{wrong}");
}

#[test]
fn pkcs12_of_java_is_read() {
    let letters: String = KEYTOOL.split_whitespace().collect();
    let bytes = Base64::decode_vec(&letters).expect("it is base64");
    let mut file = File::new("java.p12", &bytes);
    file.0.password = Secret("pencil".to_owned());
    let content = read(&file.0, "").expect("it is right");
    assert_eq!((content.certificates.len(), content.key.is_some()), (1, true));
    file.0.password = Secret("wrong".to_owned());
    let wrong = read(&file.0, "").expect_err("it is the wrong password");
    assert!(wrong.contains("ssl.keystore.password the right one?"), "{wrong}");
    file.0.kind = Some(Kind::Pem);
    let wrong = read(&file.0, "").expect_err("it is no PEM");
    assert!(wrong.contains("set ssl.keystore.type=PKCS12"), "{wrong}");
}

#[test]
fn what_cannot_be_read_is_said_with_its_remedy() {
    let jks = File::new("old.jks", &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]);
    let said = read(&jks.0, "").expect_err("it is JKS");
    assert!(said.contains("keytool -importkeystore -srckeystore"), "{said}");
    let noise = File::new("noise", b"noise");
    assert!(read(&noise.0, "").is_err_and(|why| why.contains("neither PEM nor PKCS #12")));
    let gone = Store { location: "/nowhere/at/all.pem".to_owned(), ..Store::default() };
    assert!(read(&gone, "").is_err_and(|why| why.starts_with("ssl.keystore.location=/nowhere/at/all.pem: ")));
    let both = Store { location: "a".to_owned(), ..inline(CERTIFICATE, "") };
    assert!(read(&both, "").is_err_and(|why| why.contains("leave one of them out")));
    let typed = Store { kind: Some(Kind::Pkcs12), ..inline(CERTIFICATE, KEY) };
    assert!(read(&typed, "").is_err_and(|why| why.contains("set ssl.keystore.type=PEM")));
    let old = KEY.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n");
    assert!(read(&inline(CERTIFICATE, &old), "").is_err_and(|why| why.contains("openssl pkcs8 -topk8")));
    for (cut, expected) in [
        ("-----BEGIN CERT", "a BEGIN is cut off"),
        ("-----BEGIN CERTIFICATE-----\nMIIB", "CERTIFICATE has no END"),
        ("-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----", "CERTIFICATE is not base64"),
    ] {
        assert!(read(&inline(cut, ""), "").is_err_and(|why| why.contains(expected)), "{cut}");
    }
}
