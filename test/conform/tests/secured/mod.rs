//! TLS and SASL against an Apache Kafka that has a listener for each way of security.

use crate::Kafka;
use conform_suite::foreign;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fmt::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const OAUTH: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required";
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required";
/// How long a session of the listener without TLS lasts.
const SESSION_MS: u32 = 2000;

struct Ports {
    ssl: u16,
    sasl: u16,
    sasl_ssl: u16,
}

/// An authority's certificate, the broker's key and certificate, a client's, and a stranger's.
fn certificates(folder: &Path) {
    let authority = |name| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("it signs itself")
    };
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    for (name, issuer, host) in
        [("broker", &ours, "127.0.0.1"), ("client", &ours, "client"), ("stranger", &theirs, "stranger")]
    {
        let (params, key) =
            (CertificateParams::new([host.to_owned()]).expect("a name"), KeyPair::generate().expect("a key"));
        let certificate = params.signed_by(&key, issuer).expect("it is signed");
        write(folder, &format!("{name}.pem"), &format!("{}{}", key.serialize_pem(), certificate.pem()));
    }
    write(folder, "ca.pem", &ours.pem());
    write(folder, "theirs.pem", &theirs.pem());
    let mut keytool = Command::new("keytool");
    keytool.args(["-importcert", "-noprompt", "-alias", "ca", "-storetype", "PKCS12", "-storepass", "pencil", "-file"]);
    keytool.arg(folder.join("ca.pem")).arg("-keystore").arg(folder.join("ca.p12"));
    assert!(keytool.status().expect("java is there").success(), "keytool makes no truststore");
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("the folder can be written to");
}

fn settings(folder: &Path, [plain, controller]: [u16; 2], ports: &Ports) -> String {
    let Ports { ssl, sasl, sasl_ssl } = ports;
    let at = |name: &str| folder.join(name).display().to_string();
    let clients = format!(
        "PLAINTEXT://127.0.0.1:{plain},SSL://127.0.0.1:{ssl},SASLP://127.0.0.1:{sasl},SASLS://127.0.0.1:{sasl_ssl}"
    );
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=0\ncontroller.quorum.voters=0@127.0.0.1:{controller}\n\
         listeners={clients},CONTROLLER://127.0.0.1:{controller}\nadvertised.listeners={clients}\n\
         controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASLP:SASL_PLAINTEXT,SASLS:SASL_SSL\n\
         log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\n\
         group.initial.rebalance.delay.ms=0\nsasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
         ssl.keystore.type=PEM\nssl.keystore.location={}\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
         listener.name.ssl.ssl.client.auth=required\nlistener.name.saslp.connections.max.reauth.ms={SESSION_MS}\n",
        at("logs"),
        at("broker.pem"),
        at("ca.pem"),
    );
    for listener in ["saslp", "sasls"] {
        let named = format!("listener.name.{listener}");
        let _ = writeln!(text, "{named}.plain.sasl.jaas.config={PLAIN} user_alice=\"alice-secret\";");
        let _ = writeln!(text, "{named}.scram-sha-256.sasl.jaas.config={SCRAM};");
        let _ = writeln!(text, "{named}.scram-sha-512.sasl.jaas.config={SCRAM};");
        let _ = writeln!(text, "{named}.oauthbearer.sasl.jaas.config={OAUTH} unsecuredLoginStringClaim_sub=\"x\";");
    }
    text
}

/// How clients come in, and how they do not: then with what is to be said about it.
fn clients(folder: &Path, ports: &Ports) {
    let Ports { ssl, sasl, sasl_ssl } = ports;
    let at = |name: &str| folder.join(name).display().to_string();
    let trust = format!("ssl.truststore.type=PEM\nssl.truststore.location={}\n", at("ca.pem"));
    let show = |name: &str| format!("ssl.keystore.type=PEM\nssl.keystore.location={}\n", at(name));
    let over =
        |port: &u16, protocol: &str| format!("bootstrap.servers=127.0.0.1:{port}\nsecurity.protocol={protocol}\n");
    let user = |mechanism: &str, password: &str| {
        let module = if mechanism == "PLAIN" { PLAIN } else { SCRAM };
        format!("sasl.mechanism={mechanism}\nsasl.jaas.config={module} username=\"alice\" password=\"{password}\";\n")
    };
    let token =
        format!("sasl.mechanism=OAUTHBEARER\nsasl.jaas.config={OAUTH} unsecuredLoginStringClaim_sub=\"alice\";\n");
    let put = |name: &str, parts: &[&str]| write(folder, &format!("{name}.properties"), &parts.concat());

    put("good-ssl", &[&over(ssl, "SSL"), &trust, &show("client.pem")]);
    let java = format!(
        "ssl.truststore.type=PKCS12\nssl.truststore.password=pencil\nssl.truststore.location={}\n",
        at("ca.p12")
    );
    put("good-ssl-pkcs12", &[&over(ssl, "SSL"), &java, &show("client.pem"), "ssl.enabled.protocols=TLSv1.2\n"]);
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let user = user(mechanism, "alice-secret");
        put(&format!("good-{mechanism}"), &[&over(sasl, "SASL_PLAINTEXT"), &user]);
        put(&format!("good-{mechanism}-ssl"), &[&over(sasl_ssl, "SASL_SSL"), &user, &trust]);
    }
    put("good-OAUTHBEARER", &[&over(sasl, "SASL_PLAINTEXT"), &token]);
    put("good-OAUTHBEARER-ssl", &[&over(sasl_ssl, "SASL_SSL"), &token, &trust]);

    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let why = format!("# denied: refuses this client's {mechanism} credentials: Authentication failed\n");
        put(&format!("bad-{mechanism}"), &[&why, &over(sasl, "SASL_PLAINTEXT"), &user(mechanism, "wrong")]);
    }
    let expired = token.replace("sub=\"alice\"", "sub=\"alice\" unsecuredLoginLifetimeSeconds=\"0\"");
    put("bad-token", &["# denied: OAUTHBEARER credentials\n", &over(sasl, "SASL_PLAINTEXT"), &expired]);
    put("bad-no-certificate", &["# denied: set ssl.keystore.location\n", &over(ssl, "SSL"), &trust]);
    let stranger = "# denied: set ssl.keystore.location to one of an authority that it knows\n";
    put("bad-stranger", &[stranger, &over(ssl, "SSL"), &trust, &show("stranger.pem")]);
    let other = trust.replace("ca.pem", "theirs.pem");
    put(
        "bad-authority",
        &["# denied: signed by nobody in the truststore\n", &over(ssl, "SSL"), &other, &show("client.pem")],
    );
    let localhost = over(ssl, "SSL").replace("127.0.0.1", "localhost");
    let name = "# denied: ssl.endpoint.identification.algorithm\n";
    put("bad-name", &[name, &localhost, &trust, &show("client.pem")]);
    put("bad-plain-to-tls", &["# unreachable: set security.protocol to SSL or SASL_SSL\n", &over(ssl, "PLAINTEXT")]);
    let tls_to_plain = "# unreachable: set security.protocol to PLAINTEXT or SASL_PLAINTEXT\n";
    put("bad-tls-to-plain", &[tls_to_plain, &over(sasl, "SSL"), &trust]);
    put(
        "bad-no-sasl",
        &["# unreachable: set security.protocol to SASL_SSL or SASL_PLAINTEXT\n", &over(sasl, "PLAINTEXT")],
    );
    let no_sasl_there = "# denied: it wants no SASL here: set security.protocol to PLAINTEXT or SSL\n";
    let user = user("PLAIN", "alice-secret");
    put("bad-sasl-to-none", &[no_sasl_there, &over(ssl, "SASL_SSL"), &trust, &show("client.pem"), &user]);
}

#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn clients_come_in_by_every_way_of_security_and_are_told_what_is_wrong() {
    foreign::install().expect("the clients can be installed");
    let folder = std::env::temp_dir().join(format!("vltava-kafka-{}-secured", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    let bound: Vec<TcpListener> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let port = |at: usize| bound[at].local_addr().expect("it is bound").port();
    let (plain, ports) = ([port(0), port(1)], Ports { ssl: port(2), sasl: port(3), sasl_ssl: port(4) });
    drop(bound);
    certificates(&folder);
    write(&folder, "server.settings", &settings(&folder, plain, &ports));
    clients(&folder, &ports);
    let bootstrap = format!("127.0.0.1:{}", plain[0]);
    let mut kafka = Kafka { nodes: Vec::new(), folder: folder.clone(), bootstrap };
    let users = ["256", "512"].map(|digest| format!("SCRAM-SHA-{digest}=[name=alice,password=alice-secret]"));
    kafka.launch(&folder.join("server.settings"), &["--add-scram", &users[0], "--add-scram", &users[1]]);
    kafka.wait();
    let suite = Command::new(env!("CARGO"))
        .args(["test", "--package", "vltava-client", "--test", "secured", "--", "--ignored"])
        .env("VLTAVA_CLIENT_SECURED", &folder)
        .status();
    assert!(suite.expect("cargo starts").success(), "clients do not come in as they should");
}
