//! Broker configurations of TLS, SASL and authorisation.

use super::super::definition::{
    Definition, NULL, Valid, boolean, class, double, int, list, long, password, short, string,
};
use super::SECURITY;

pub const TABLE: &[Definition] = &[
    string("authorizer.class.name", "").inactive(SECURITY),
    int("connection.failed.authentication.delay.ms", "100").at_least(0).inactive(SECURITY),
    long("connections.max.reauth.ms", "0").inactive(SECURITY),
    long("delegation.token.expiry.check.interval.ms", "3600000").at_least(1).inactive(SECURITY),
    long("delegation.token.expiry.time.ms", "86400000").at_least(1).inactive(SECURITY),
    long("delegation.token.max.lifetime.ms", "604800000").at_least(1).inactive(SECURITY),
    password("delegation.token.secret.key", NULL).inactive(SECURITY),
    string(
        "listener.security.protocol.map",
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
    )
    .per_broker()
    .inactive(SECURITY),
    class("principal.builder.class", "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder")
        .per_broker()
        .inactive(SECURITY),
    class("sasl.client.callback.handler.class", NULL).inactive(SECURITY),
    list("sasl.enabled.mechanisms", "GSSAPI").per_broker().inactive(SECURITY),
    password("sasl.jaas.config", NULL).per_broker().inactive(SECURITY),
    string("sasl.kerberos.kinit.cmd", "/usr/bin/kinit").per_broker().inactive(SECURITY),
    long("sasl.kerberos.min.time.before.relogin", "60000").per_broker().inactive(SECURITY),
    list("sasl.kerberos.principal.to.local.rules", "DEFAULT").per_broker().inactive(SECURITY),
    string("sasl.kerberos.service.name", NULL).per_broker().inactive(SECURITY),
    double("sasl.kerberos.ticket.renew.jitter", "0.05").per_broker().inactive(SECURITY),
    double("sasl.kerberos.ticket.renew.window.factor", "0.8").per_broker().inactive(SECURITY),
    class("sasl.login.callback.handler.class", NULL).inactive(SECURITY),
    class("sasl.login.class", NULL).inactive(SECURITY),
    int("sasl.login.connect.timeout.ms", NULL).inactive(SECURITY),
    int("sasl.login.read.timeout.ms", NULL).inactive(SECURITY),
    short("sasl.login.refresh.buffer.seconds", "300").per_broker().inactive(SECURITY),
    short("sasl.login.refresh.min.period.seconds", "60").per_broker().inactive(SECURITY),
    double("sasl.login.refresh.window.factor", "0.8").per_broker().inactive(SECURITY),
    double("sasl.login.refresh.window.jitter", "0.05").per_broker().inactive(SECURITY),
    long("sasl.login.retry.backoff.max.ms", "10000").inactive(SECURITY),
    long("sasl.login.retry.backoff.ms", "100").inactive(SECURITY),
    string("sasl.mechanism.controller.protocol", "GSSAPI").inactive(SECURITY),
    string("sasl.mechanism.inter.broker.protocol", "GSSAPI").per_broker().inactive(SECURITY),
    string("sasl.oauthbearer.assertion.algorithm", "RS256")
        .valid(Valid::OneOfIgnoringCase(&["ES256", "RS256"]))
        .inactive(SECURITY),
    string("sasl.oauthbearer.assertion.claim.aud", NULL).inactive(SECURITY),
    int("sasl.oauthbearer.assertion.claim.exp.seconds", "300").between(0, 86_400).inactive(SECURITY),
    string("sasl.oauthbearer.assertion.claim.iss", NULL).inactive(SECURITY),
    boolean("sasl.oauthbearer.assertion.claim.jti.include", "false").inactive(SECURITY),
    int("sasl.oauthbearer.assertion.claim.nbf.seconds", "60").between(0, 3600).inactive(SECURITY),
    string("sasl.oauthbearer.assertion.claim.sub", NULL).inactive(SECURITY),
    string("sasl.oauthbearer.assertion.file", NULL).inactive(SECURITY),
    string("sasl.oauthbearer.assertion.private.key.file", NULL).inactive(SECURITY),
    password("sasl.oauthbearer.assertion.private.key.passphrase", NULL).inactive(SECURITY),
    string("sasl.oauthbearer.assertion.template.file", NULL).inactive(SECURITY),
    string("sasl.oauthbearer.client.credentials.client.id", NULL).inactive(SECURITY),
    password("sasl.oauthbearer.client.credentials.client.secret", NULL).inactive(SECURITY),
    int("sasl.oauthbearer.clock.skew.seconds", "30").inactive(SECURITY),
    list("sasl.oauthbearer.expected.audience", "").inactive(SECURITY),
    string("sasl.oauthbearer.expected.issuer", NULL).inactive(SECURITY),
    long("sasl.oauthbearer.jwks.endpoint.refresh.ms", "3600000").inactive(SECURITY),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "10000").inactive(SECURITY),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "100").inactive(SECURITY),
    string("sasl.oauthbearer.jwks.endpoint.url", NULL).inactive(SECURITY),
    class("sasl.oauthbearer.jwt.retriever.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever")
        .inactive(SECURITY),
    class("sasl.oauthbearer.jwt.validator.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator")
        .inactive(SECURITY),
    string("sasl.oauthbearer.scope", NULL).inactive(SECURITY),
    string("sasl.oauthbearer.scope.claim.name", "scope").inactive(SECURITY),
    string("sasl.oauthbearer.sub.claim.name", "sub").inactive(SECURITY),
    string("sasl.oauthbearer.token.endpoint.url", NULL).inactive(SECURITY),
    class("sasl.server.callback.handler.class", NULL).inactive(SECURITY),
    int("sasl.server.max.receive.size", "524288").inactive(SECURITY),
    string("security.inter.broker.protocol", "PLAINTEXT")
        .valid(Valid::OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]))
        .inactive(SECURITY),
    string("security.providers", NULL).inactive(SECURITY),
    boolean("ssl.allow.dn.changes", "false").inactive(SECURITY),
    boolean("ssl.allow.san.changes", "false").inactive(SECURITY),
    list("ssl.cipher.suites", "").per_broker().inactive(SECURITY),
    string("ssl.client.auth", "none")
        .valid(Valid::OneOf(&["required", "requested", "none"]))
        .per_broker()
        .inactive(SECURITY),
    list("ssl.enabled.protocols", "TLSv1.2,TLSv1.3").per_broker().inactive(SECURITY),
    string("ssl.endpoint.identification.algorithm", "https").per_broker().inactive(SECURITY),
    class("ssl.engine.factory.class", NULL).per_broker().inactive(SECURITY),
    password("ssl.key.password", NULL).per_broker().inactive(SECURITY),
    string("ssl.keymanager.algorithm", "SunX509").per_broker().inactive(SECURITY),
    password("ssl.keystore.certificate.chain", NULL).per_broker().inactive(SECURITY),
    password("ssl.keystore.key", NULL).per_broker().inactive(SECURITY),
    string("ssl.keystore.location", NULL).per_broker().inactive(SECURITY),
    password("ssl.keystore.password", NULL).per_broker().inactive(SECURITY),
    string("ssl.keystore.type", "JKS").per_broker().inactive(SECURITY),
    string("ssl.principal.mapping.rules", "DEFAULT").inactive(SECURITY),
    string("ssl.protocol", "TLSv1.3").per_broker().inactive(SECURITY),
    string("ssl.provider", NULL).per_broker().inactive(SECURITY),
    string("ssl.secure.random.implementation", NULL).per_broker().inactive(SECURITY),
    string("ssl.trustmanager.algorithm", "PKIX").per_broker().inactive(SECURITY),
    password("ssl.truststore.certificates", NULL).per_broker().inactive(SECURITY),
    string("ssl.truststore.location", NULL).per_broker().inactive(SECURITY),
    password("ssl.truststore.password", NULL).per_broker().inactive(SECURITY),
    string("ssl.truststore.type", "JKS").per_broker().inactive(SECURITY),
];
