//! What a failed dial means: which setting of which broker is at fault, and what to do.

use super::dial::{Dial, Failure};
use serde_json::{Value, json};
use vltava_client::NodeId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Problem,
    /// Worth knowing; nothing is wrong by it alone.
    Note,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    about: String,
    what: String,
    /// The setting at fault, where it is one.
    setting: Option<&'static str>,
    fix: Option<String>,
}

const ADVERTISED: &str = "advertised.listeners";
const LISTENERS: &str = "listeners";

impl Finding {
    pub fn problem(about: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { weight: Weight::Problem, about: about.into(), what: what.into(), setting: None, fix: None }
    }

    fn note(about: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { weight: Weight::Note, ..Finding::problem(about, what) }
    }

    fn setting(self, setting: &'static str) -> Finding {
        Finding { setting: Some(setting), ..self }
    }

    pub fn fix(self, fix: impl Into<String>) -> Finding {
        Finding { fix: Some(fix.into()), ..self }
    }

    pub fn json(&self) -> Value {
        let weight = match self.weight {
            Weight::Problem => "problem",
            Weight::Note => "note",
        };
        json!({ "weight": weight, "about": self.about, "what": self.what, "setting": self.setting, "fix": self.fix })
    }

    pub fn text(&self) -> String {
        let mark = match self.weight {
            Weight::Problem => "PROBLEM",
            Weight::Note => "note",
        };
        let mut text = format!("{mark}  {}: {}\n", self.about, self.what);
        let lead = " ".repeat(mark.len() + 2);
        if let Some(setting) = self.setting {
            text.push_str(&format!("{lead}setting at fault: {setting}\n"));
        }
        if let Some(fix) = &self.fix {
            text.push_str(&format!("{lead}what to do: {fix}\n"));
        }
        text
    }
}

/// Of an address that the person gave.
pub fn of_bootstrap(dial: &Dial) -> Option<Finding> {
    let about = format!("bootstrap address {}", dial.address());
    Some(match dial.failure()? {
        Failure::Name(said) => Finding::problem(about, format!("the name `{}` does not resolve ({said})", dial.host))
            .setting("--bootstrap")
            .fix("check the spelling, or give an IP address"),
        Failure::Refused(said) => Finding::problem(about, format!("nothing listens at this port ({said})"))
            .setting(LISTENERS)
            .fix("start the broker, or see which address and port its `listeners` names"),
        Failure::Unreachable(said) => Finding::problem(about, format!("it does not answer ({said})"))
            .fix("see whether a firewall or a wrong address is in between"),
        Failure::Denied(said) => of_denied(about, said),
        Failure::Protocol(said) | Failure::OtherNode(said) => {
            Finding::problem(about, format!("the port is open, and ApiVersions is not answered ({said})"))
                .setting("listener.security.protocol.map")
                .fix("give the address of a PLAINTEXT listener for clients: this may be one with TLS, that of a controller, or no broker at all")
        }
    })
}

/// Of a broker's address as clients are told it. `asked` is the address by which the cluster was found.
pub fn of_broker(node: NodeId, dial: &Dial, asked: Option<&Dial>, cluster: Option<&str>) -> Vec<Finding> {
    let about = format!("broker {node} at {}", dial.address());
    let mut findings = Vec::new();
    let is_far = asked.is_some_and(|asked| !asked.is_loopback());
    if dial.is_unspecified() {
        let what = "clients are told an address that is no place to go to";
        let fix = format!("name in advertised.listeners of broker {node} a host that clients reach");
        findings.push(Finding::problem(&about, what).setting(ADVERTISED).fix(fix));
    } else if dial.is_loopback() && is_far {
        let what = "clients are told an address that only the broker's own machine reaches";
        let fix = format!("name in advertised.listeners of broker {node} a host that clients reach");
        findings.push(Finding::problem(&about, what).setting(ADVERTISED).fix(fix));
    } else if let Some(failure) = dial.failure() {
        findings.push(of_failure(node, &about, dial, failure));
    }
    let other = dial.cluster_id.as_deref().zip(cluster).filter(|(other, ours)| other != ours);
    if let Some((other, _)) = other {
        let fix = format!("let advertised.listeners of broker {node} name its own address; this one is another's");
        let what = format!("who answers there belongs to another cluster ({other})");
        findings.push(Finding::problem(&about, what).setting(ADVERTISED).fix(fix));
    }
    if dial.failure().is_none() && !dial.dead.is_empty() {
        let dead: Vec<String> = dial.dead.iter().map(|(address, said)| format!("{address} ({said})")).collect();
        let what = format!("the name has addresses that do not answer: {}", dead.join(", "));
        let fix =
            "some clients try them first, and are slow to connect: let the name resolve to those that answer only";
        findings.push(Finding::note(&about, what).fix(fix));
    }
    findings
}

fn of_denied(about: String, said: &str) -> Finding {
    let what = "the broker does not let this client in, or the client does not trust the broker";
    Finding::problem(about, what).setting("-X or --command-config").fix(said)
}

fn of_failure(node: NodeId, about: &str, dial: &Dial, failure: &Failure) -> Finding {
    match failure {
        Failure::Name(said) => {
            let what = format!("clients are told the name `{}`, which does not resolve here ({said})", dial.host);
            let fix = format!("name in advertised.listeners of broker {node} a host that clients can resolve");
            Finding::problem(about, what).setting(ADVERTISED).fix(fix)
        }
        Failure::Refused(said) => {
            let what = format!("clients are told this address, and nothing listens there ({said})");
            let fix = format!(
                "where broker {node} runs, its advertised.listeners names a host or port that its listeners do not serve; \
                 where it has just gone down, start it"
            );
            Finding::problem(about, what).setting("advertised.listeners, listeners").fix(fix)
        }
        Failure::Unreachable(said) => {
            let what = format!("clients are told this address, and it does not answer from here ({said})");
            let fix = format!(
                "name in advertised.listeners of broker {node} an address that clients reach, or open the way in the firewall"
            );
            Finding::problem(about, what).setting(ADVERTISED).fix(fix)
        }
        Failure::Protocol(said) => {
            let what = format!("the port is open, and ApiVersions is not answered there ({said})");
            let fix = format!(
                "advertised.listeners of broker {node} names something that is no broker, or a listener with another \
                 security protocol than clients use; where it answered before, broker {node} hangs: see its log"
            );
            Finding::problem(about, what).setting("advertised.listeners, listener.security.protocol.map").fix(fix)
        }
        Failure::Denied(said) => of_denied(about.to_owned(), said),
        Failure::OtherNode(said) => {
            let what = format!("another node answers there ({said})");
            let fix = format!(
                "let advertised.listeners of broker {node} name its own address: a proxy or another broker is behind this one"
            );
            Finding::problem(about, what).setting(ADVERTISED).fix(fix)
        }
    }
}
