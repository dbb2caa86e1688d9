//! Addresses as settings write them: `host:port`, `[v6]:port`, `NAME://host:port`, `id@host:port`.

/// A host, possibly empty, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    pub fn parse(text: &str) -> Result<Address, String> {
        let wrong = || format!("`{text}` is not HOST:PORT");
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(format!("`{text}` is not HOST:PORT; an IPv6 address goes in brackets, as in [::1]:9092"));
        }
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Address { host: bare.unwrap_or(host).to_owned(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.as_str() {
            host if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

/// One entry of `listeners`.
pub fn parse_listener(text: &str) -> Result<(String, Address), String> {
    let (name, address) =
        text.split_once("://").ok_or_else(|| format!("`{text}` is not NAME://HOST:PORT, as in PLAINTEXT://:9092"))?;
    Ok((name.to_owned(), Address::parse(address)?))
}

/// One entry of `controller.quorum.voters`.
pub fn parse_voter(text: &str) -> Result<(i32, Address), String> {
    let (id, address) = text.split_once('@').ok_or_else(|| format!("`{text}` is not ID@HOST:PORT"))?;
    let id = id.trim().parse().map_err(|_| format!("`{id}` in `{text}` is not the number of a node"))?;
    Ok((id, Address::parse(address)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_shape() {
        let shown = |text| Address::parse(text).map(|address| address.to_string());
        assert_eq!(shown("localhost:9092"), Ok("localhost:9092".into()));
        assert_eq!(shown(":0"), Ok(":0".into()));
        assert_eq!(shown("[::1]:1"), Ok("[::1]:1".into()));
        assert!(shown("::1").is_err());
        assert!(shown("host:70000").is_err());
        assert!(parse_listener("PLAINTEXT://:9092").is_ok());
        assert!(parse_listener(":9092").is_err());
        assert_eq!(parse_voter("3@a:1").map(|(id, _)| id), Ok(3));
        assert!(parse_voter("a:1").is_err());
    }
}
