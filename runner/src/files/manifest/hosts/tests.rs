//! Every clause of the grammar, both ways.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use super::*;

fn hosts(entries: &[&str]) -> Hosts {
    let granted = entries.iter().map(|entry| HostPattern::parse(entry).unwrap()).collect();
    Hosts::new(granted, None, BlockedNetworks::default())
}

/// Entry; scheme, host and port asked for; whether they are permitted.
type Row = (&'static str, &'static str, &'static str, Option<u16>, bool);

#[rustfmt::skip]
const NAMED: &[Row] = &[
    // Schemes.
    ("https://a.com", "https", "a.com", Some(443), true),
    ("https://a.com", "http", "a.com", Some(443), false),
    ("HTTPS://a.com", "https", "a.com", Some(443), true),
    ("https://a.com", "HTTPS", "a.com", Some(443), true),
    ("*://a.com:443", "https", "a.com", Some(443), true),
    ("*://a.com:443", "mqtt", "a.com", Some(443), true),
    ("http://a.com", "https", "a.com", None, false),
    ("mqtt://a.com", "mqtts", "a.com", Some(1883), false),
    // Default ports: of the entry, and of an address without one.
    ("http://a.com", "http", "a.com", Some(80), true),
    ("http://a.com", "http", "a.com", None, true),
    ("http://a.com", "http", "a.com", Some(8080), false),
    ("https://a.com", "https", "a.com", None, true),
    ("https://a.com", "https", "a.com", Some(80), false),
    ("redis://a.com", "redis", "a.com", Some(6379), true),
    ("redis://a.com", "redis", "a.com", Some(6380), false),
    ("mysql://a.com", "mysql", "a.com", Some(3306), true),
    ("mysql://a.com", "mysql", "a.com", Some(3307), false),
    ("postgres://a.com", "postgres", "a.com", Some(5432), true),
    ("postgres://a.com", "postgres", "a.com", Some(5433), false),
    ("mqtt://a.com", "mqtt", "a.com", Some(1883), true),
    ("mqtt://a.com", "mqtt", "a.com", None, true),
    ("mqtt://a.com", "mqtt", "a.com", Some(8883), false),
    // Explicit ports.
    ("mqtts://a.com:8883", "mqtts", "a.com", Some(8883), true),
    ("mqtts://a.com:8883", "mqtts", "a.com", None, false),
    ("http://a.com:8080", "http", "a.com", Some(8080), true),
    ("http://a.com:8080", "http", "a.com", None, false),
    ("http://a.com:*", "http", "a.com", Some(1), true),
    ("http://a.com:*", "http", "a.com", None, true),
    ("http://a.com:*", "https", "a.com", Some(1), false),
    ("tcp://a.com:1", "tcp", "a.com", Some(1), true),
    ("tcp://a.com:65535", "tcp", "a.com", Some(65535), true),
    // Ranges do not include their end.
    ("http://a.com:8000..8010", "http", "a.com", Some(8000), true),
    ("http://a.com:8000..8010", "http", "a.com", Some(8009), true),
    ("http://a.com:8000..8010", "http", "a.com", Some(8010), false),
    ("http://a.com:8000..8010", "http", "a.com", Some(7999), false),
    ("http://a.com:80..81", "http", "a.com", None, true),
    ("http://a.com:1..65536", "http", "a.com", Some(65535), true),
    // A trailing slash means nothing.
    ("http://a.com/", "http", "a.com", Some(80), true),
    ("http://a.com:81/", "http", "a.com", Some(81), true),
    // Domains.
    ("http://a.com", "http", "b.com", Some(80), false),
    ("http://a.com", "http", "x.a.com", Some(80), false),
    ("http://a.com", "http", "xa.com", Some(80), false),
    ("http://A.com", "http", "a.COM", Some(80), true),
    ("http://a.com", "http", "a.com.", Some(80), true),
    ("http://a.com.", "http", "a.com", Some(80), true),
    ("http://localhost", "http", "localhost", Some(80), true),
    ("http://localhost", "http", "127.0.0.1", Some(80), false),
    ("http://my_host", "http", "my_host", Some(80), true),
    // Everything below a domain, at any depth, but not itself.
    ("http://*.a.com", "http", "x.a.com", Some(80), true),
    ("http://*.a.com", "http", "y.x.a.com", Some(80), true),
    ("http://*.a.com", "http", "a.com", Some(80), false),
    ("http://*.a.com", "http", ".a.com", Some(80), false),
    ("http://*.a.com", "http", "xa.com", Some(80), false),
    ("http://*.a.com", "http", "x.a.com.evil.org", Some(80), false),
    ("http://*.a.com", "http", "X.A.com", Some(80), true),
    ("http://*.spin.internal", "http", "other.spin.internal", Some(80), true),
    ("http://*.spin.internal", "http", "spin.internal", Some(80), false),
    // Any host.
    ("http://*", "http", "anything.example", Some(80), true),
    ("http://*", "http", "10.0.0.1", Some(80), true),
    ("http://*", "http", "", Some(80), false),
    ("http://*", "http", "a.com", Some(81), false),
    ("http://*:*", "http", "a.com", Some(81), true),
    ("*://*:*", "anything", "a.com", Some(1), true),
    ("*://*:*", "anything", "a.com", None, true),
    ("*://*:80", "anything", "a.com", None, false),
    // The app itself.
    ("http://self", "http", "self", None, true),
    ("http://self", "http", "a.com", None, false),
    ("http://*", "http", "self", None, true),
    ("https://a.com", "https", "self", None, false),
    // Addresses.
    ("http://10.0.0.1", "http", "10.0.0.1", Some(80), true),
    ("http://10.0.0.1", "http", "10.0.0.2", Some(80), false),
    ("http://10.0.0.1", "http", "a.com", Some(80), false),
    ("http://10.0.0.1", "http", "[::ffff:10.0.0.1]", Some(80), true),
    ("http://[::1]", "http", "[::1]", Some(80), true),
    ("http://[::1]", "http", "::1", Some(80), true),
    ("http://[::1]", "http", "[::2]", Some(80), false),
    ("http://[::1]:81", "http", "[::1]", Some(81), true),
    ("http://[0:0:0:0:0:0:0:1]", "http", "[::1]", Some(80), true),
    ("http://::1", "http", "[::1]", Some(80), true),
    // Networks.
    ("http://10.0.0.0/8", "http", "10.255.1.2", Some(80), true),
    ("http://10.0.0.0/8", "http", "11.0.0.1", Some(80), false),
    ("http://10.0.0.0/8:81", "http", "10.0.0.1", Some(81), true),
    ("http://10.0.0.0/8:81", "http", "10.0.0.1", Some(80), false),
    ("http://10.0.0.0/8/", "http", "10.0.0.1", Some(80), true),
    ("http://10.9.9.9/8", "http", "10.0.0.1", Some(80), true),
    ("http://10.0.0.0/8", "http", "ten.example", Some(80), false),
    ("http://0.0.0.0/0", "http", "1.2.3.4", Some(80), true),
    ("http://0.0.0.0/0", "http", "[2001::1]", Some(80), false),
    ("http://[fd00::]/8", "http", "[fd12::1]", Some(80), true),
    ("http://[fd00::]/8:81", "http", "[fd12::1]", Some(81), true),
    ("http://[fd00::]/8", "http", "[fe80::1]", Some(80), false),
    ("http://fd00::/8:81", "http", "[fd12::1]", Some(81), true),
    ("http://fd00::/8", "http", "[fd12::1]", Some(80), true),
    ("http://::/0", "http", "[2001::1]", Some(80), true),
    // Blanks around an entry are nobody's intention.
    (" http://a.com ", "http", "a.com", Some(80), true),
];

#[test]
fn every_clause_permits_what_it_says_and_no_more() {
    for (entry, scheme, host, port, expected) in NAMED {
        let permitted = hosts(&[entry]).permits(scheme, host, *port);
        assert_eq!(permitted, *expected, "{entry} asked for {scheme}://{host}:{port:?}");
    }
}

#[test]
fn the_table_has_eighty_rows_of_both_kinds() {
    assert!(NAMED.len() >= 80, "{}", NAMED.len());
    assert!(NAMED.iter().filter(|row| !row.4).count() >= 30);
}

#[test]
fn sockets_are_reached_by_address_only() {
    for (entry, ip, port, expected) in [
        ("tcp://10.0.0.1:5000", "10.0.0.1", 5000, true),
        ("tcp://10.0.0.1:5000", "10.0.0.1", 5001, false),
        ("tcp://10.0.0.1:5000", "10.0.0.2", 5000, false),
        ("tcp://10.0.0.0/8:*", "10.1.2.3", 1, true),
        ("tcp://10.0.0.0/8:*", "::ffff:10.1.2.3", 1, true),
        ("tcp://[fd00::]/8:*", "fd00::1", 1, true),
        ("tcp://*:80", "1.2.3.4", 80, true),
        ("tcp://*:80", "1.2.3.4", 81, false),
        ("*://*:*", "1.2.3.4", 81, true),
        ("*://10.0.0.1:*", "10.0.0.1", 81, true),
        ("udp://10.0.0.1:5000", "10.0.0.1", 5000, false),
        ("http://10.0.0.1", "10.0.0.1", 80, false),
        ("tcp://localhost:80", "127.0.0.1", 80, false),
        ("tcp://*.example.com:80", "127.0.0.1", 80, false),
        ("tcp://self:80", "127.0.0.1", 80, false),
    ] {
        let ip: IpAddr = ip.parse().unwrap();
        assert_eq!(hosts(&[entry]).permits_socket(ip, port), expected, "{entry} {ip}:{port}");
    }
}

#[test]
fn datagrams_have_their_own_scheme() {
    let ip: IpAddr = "10.0.0.1".parse().unwrap();
    assert!(hosts(&["udp://10.0.0.1:53"]).permits_datagram(ip, 53));
    assert!(!hosts(&["tcp://10.0.0.1:53"]).permits_datagram(ip, 53));
}

#[test]
fn what_is_no_entry_is_refused_with_the_reason() {
    let path = |path: &str| HostError::Path(path.into());
    let host = |host: &str| HostError::Host(host.into());
    let port = |port: &str| HostError::Port(port.into());
    for (entry, error) in [
        ("*", HostError::BareStar),
        (" * ", HostError::BareStar),
        ("insecure:allow-all", HostError::AllowAll),
        ("", HostError::NoScheme("".into())),
        ("a.com", HostError::NoScheme("a.com".into())),
        ("a.com:80", HostError::NoScheme("a.com:80".into())),
        ("://a.com:80", HostError::Scheme("".into())),
        ("h2://a.com:80", HostError::Scheme("h2".into())),
        ("**://a.com:80", HostError::Scheme("**".into())),
        ("http://", HostError::NoHost),
        ("http://:80", HostError::NoHost),
        ("http:///x", path("/x")),
        ("http://a.com/x", path("/x")),
        ("http://a.com:80/x", path("/x")),
        ("http://a.com?x", path("?x")),
        ("http://me@a.com", path("@a.com")),
        ("http://a.*.com", HostError::Star("a.*.com".into())),
        ("http://a*", HostError::Star("a*".into())),
        ("http://*.*.com", HostError::Star("*.*.com".into())),
        ("http://*a.com", HostError::Star("*a.com".into())),
        ("http://*.", host("*.")),
        ("http://a..com", host("a..com")),
        ("http://a b", host("a b")),
        ("http://[a]", host("[a]")),
        ("http://[::1", host("[::1")),
        ("http://[::1]x", host("[::1]x")),
        ("http://10.0.0.0/33", path("/33")),
        ("http://[::]/129", path("/129")),
        ("mqtts://a.com", HostError::NoPort("mqtts".into())),
        ("tcp://10.0.0.1", HostError::NoPort("tcp".into())),
        ("udp://10.0.0.1", HostError::NoPort("udp".into())),
        ("*://a.com", HostError::NoPort("*".into())),
        ("http://a.com:", port("")),
        ("http://a.com:0", port("0")),
        ("http://a.com:65536", port("65536")),
        ("http://a.com:+80", port("+80")),
        ("http://a.com:x", port("x")),
        ("http://a.com:80..80", port("80..80")),
        ("http://a.com:81..80", port("81..80")),
        ("http://a.com:..80", port("..80")),
        ("http://a.com:80..", port("80..")),
        ("http://a.com:1..65537", port("1..65537")),
        ("http://{a,b}.com", HostError::List),
        ("http://a.com:{80,81}", HostError::List),
    ] {
        assert_eq!(HostPattern::parse(entry), Err(error), "{entry:?}");
    }
}

#[test]
fn any_of_several_entries_is_enough_and_none_is_nothing() {
    let several = hosts(&["http://a.com", "https://b.com"]);
    assert!(several.permits("https", "b.com", None));
    assert!(!several.permits("https", "a.com", None));
    assert!(!hosts(&[]).permits("http", "a.com", None));
    assert!(hosts(&[]).is_empty());
}

#[test]
fn policy_takes_away_and_never_gives() {
    let entry = |text| HostPattern::parse(text).unwrap();
    let granted = vec![entry("http://a.com"), entry("http://b.com")];
    let policy = Some(vec![entry("http://b.com"), entry("http://c.com")]);
    let hosts = Hosts::new(granted.clone(), policy, BlockedNetworks::default());
    assert!(hosts.permits("http", "b.com", None));
    assert!(!hosts.permits("http", "a.com", None));
    assert!(!hosts.permits("http", "c.com", None));
    let nothing = Hosts::new(granted, Some(Vec::new()), BlockedNetworks::default());
    assert!(!nothing.permits("http", "b.com", None));
}

#[test]
fn an_entry_prints_as_it_can_be_written_again() {
    for (entry, ..) in NAMED {
        let pattern = HostPattern::parse(entry).unwrap();
        assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern), "{entry}");
    }
}

#[test]
fn private_is_every_address_that_is_not_global() {
    let blocked = BlockedNetworks { networks: Vec::new(), private: PrivateNetworks::Blocked };
    #[rustfmt::skip]
    let out_of_reach = [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fc00::1", "fdff::1", "ff02::1", "2001:db8::1", "2001::1", "3fff::1",
        "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "100::1", "4000::1",
    ];
    for ip in out_of_reach {
        assert!(blocked.blocks(ip.parse().unwrap()), "{ip}");
    }
    #[rustfmt::skip]
    let global = [
        "1.1.1.1", "8.8.8.8", "11.0.0.1", "100.128.0.1", "172.32.0.1", "192.0.1.1", "192.169.0.1", "198.20.0.1",
        "223.255.255.255", "2600::1", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808",
        "2002:808:808::",
    ];
    for ip in global {
        assert!(!blocked.blocks(ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn named_networks_are_out_of_reach_in_every_spelling() {
    let networks = ["8.8.0.0/16", "2606::/16"].map(|text| Network::parse(text).unwrap()).to_vec();
    let blocked = BlockedNetworks { networks, private: PrivateNetworks::Reachable };
    for ip in
        ["8.8.8.8", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2606::1"]
    {
        assert!(blocked.blocks(ip.parse().unwrap()), "{ip}");
    }
    for ip in ["8.9.0.0", "10.0.0.1", "127.0.0.1", "::1", "2607::1"] {
        assert!(!blocked.blocks(ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn blocked_addresses_are_refused_whatever_is_granted() {
    let blocked = BlockedNetworks { networks: Vec::new(), private: PrivateNetworks::Blocked };
    let hosts = Hosts::new(vec![HostPattern::parse("*://*:*").unwrap()], None, blocked);
    assert!(hosts.permits("mqtt", "broker.example.com", None));
    for (host, expected) in [("10.0.0.1", false), ("[::1]", false), ("8.8.8.8", true)] {
        assert_eq!(hosts.permits("mqtt", host, None), expected, "{host}");
        let ip = host.trim_matches(['[', ']']).parse().unwrap();
        assert_eq!(hosts.permits_address(ip), expected, "{host}");
        assert_eq!(hosts.permits_socket(ip, 1883), expected, "{host}");
    }
}

#[test]
fn networks_are_read_with_and_without_their_length() {
    for (text, printed) in
        [("10.0.0.1", "10.0.0.1/32"), ("10.0.0.0/8", "10.0.0.0/8"), ("fd00::/8", "fd00::/8")]
    {
        assert_eq!(Network::parse(text).unwrap().to_string(), printed);
    }
    for text in [
        "",
        "private",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "10.0.0.0/",
        "fd00::/129",
        "10.0.0/8",
        "010.0.0.1",
    ] {
        assert_eq!(Network::parse(text), None, "{text}");
    }
}

#[test]
fn a_name_may_be_looked_up_if_some_entry_grants_the_host() {
    let parsed = |entries: &[&str]| -> Vec<HostPattern> {
        entries.iter().map(|entry| HostPattern::parse(entry).unwrap()).collect()
    };
    for (granted, policy, name, expected) in [
        (&["http://api.example.com"][..], None, "api.example.com", true),
        (&["http://api.example.com"], None, "API.example.com.", true),
        (&["http://api.example.com"], None, "secret.evil.org", false),
        (&["http://api.example.com"], None, "secret.api.example.com", false),
        (&["https://*.example.com"], None, "a.b.example.com", true),
        (&["https://*.example.com"], None, "example.com.evil.org", false),
        (&["tcp://10.0.0.0/8:5432"], None, "db.local", false),
        (&["http://self"], None, "self", false),
        (&["tcp://*:80"], None, "anything", true),
        (&["tcp://*:80"], Some(&["*://*.local:*"][..]), "anything", false),
        (&["tcp://*:80"], Some(&["*://*.local:*"]), "pi.local", true),
        (&[], None, "anything", false),
    ] {
        let hosts = Hosts::new(parsed(granted), policy.map(parsed), BlockedNetworks::default());
        assert_eq!(hosts.permits_name(name), expected, "{name} by {granted:?} within {policy:?}");
    }
}
