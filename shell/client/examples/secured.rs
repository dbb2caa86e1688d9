//! TLS and SASL by Kafka's options: the topics of a secured cluster.
//!
//! `cargo run -p vltava-client --example secured -- kafka.example:9093 ca.pem alice`, with the password in `PASSWORD`;
//! or `-- client.properties`, with everything in a file.

use vltava_client::{AdminConfig, Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().collect();
    let config = match &words[..] {
        [_, file] => AdminConfig::from_file(file)?,
        [_, bootstrap, authority, user] => AdminConfig::from_map([
            ("bootstrap.servers", bootstrap.as_str()),
            ("security.protocol", "SASL_SSL"),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", authority),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", user),
            ("sasl.password", &std::env::var("PASSWORD").unwrap_or_default()),
        ])?,
        _ => panic!("usage: secured FILE | secured HOST:PORT CA.PEM USER"),
    };
    // A broker that is not trusted, or does not let the client in, is an `Error::Authentication` that says what to change.
    let client = Client::new(config).await?;
    for topic in client.overview().await?.topics {
        println!("{}: {} partitions", topic.name, topic.partitions.len());
    }
    Ok(())
}
