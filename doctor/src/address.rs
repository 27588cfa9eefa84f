//! HOST:PORT, as command lines have it.

/// Host and port of HOST:PORT, of `[ADDRESS]:PORT` for IPv6 (RFC 3986, section 3.2.2). Whether the host is a name is not
/// looked at.
///
/// # Errors
/// Says what is missing.
pub fn host_and_port(text: &str) -> Result<(&str, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("HOST:PORT is wanted, such as broker.example:8883")?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().map_err(|_| format!("{port} is no port"))?;
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn names_and_both_kinds_of_addresses_are_taken_apart() {
        for (text, host, port) in [
            ("broker.example:8883", "broker.example", 8883),
            ("192.0.2.1:1", "192.0.2.1", 1),
            ("[2001:db8::1]:65535", "2001:db8::1", 65_535),
        ] {
            assert_eq!(host_and_port(text), Ok((host, port)));
        }
        assert_eq!(host_and_port("broker:65536"), Err("65536 is no port".to_owned()));
        assert!(host_and_port("broker.example").unwrap_err().contains("HOST:PORT"));
    }
}
