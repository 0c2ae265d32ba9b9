//! Several looks at `/metrics` of two pods.

use wavesoak::collector::collected::Server;
use wavesoak::collector::servers::Servers;

use super::within;

/// Ends a look.
const NEXT: char = '\u{c}';

/// The input is one look after the other, the pods in turn; an empty one is a pod that does not answer.
pub fn metrics(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let looks: Vec<&str> = text.split(NEXT).collect();
    let (plain, dropped) = within(96, text.len(), || watch(looks.iter().map(|look| (*look).to_owned())));
    assert!(dropped.windows(2).all(|two| two[0] <= two[1]), "the counter shrank: {dropped:?}");
    // What has no meaning changes nothing.
    for change in [crlf, commented, with_a_stranger] {
        assert_eq!(watch(looks.iter().map(|look| change(look))).0, plain);
    }
    let lacks = |name: &str| !looks.iter().any(|look| look.contains(name));
    if lacks("scaiwave_ws_messages_dropped_total") {
        assert_eq!(plain.messages_dropped_total, None, "what nobody said is not zero");
    }
    if lacks("scaiwave_ws_connections") {
        assert_eq!(plain.ws_connections.peak, None, "what nobody said is not zero");
    }
    // In the middle of a round the sum is of two moments, and no peak.
    let connections = plain.ws_connections;
    let whole = looks.len().is_multiple_of(2);
    assert!(connections.peak >= connections.before && (!whole || connections.peak >= connections.after));
}

/// What is made of the looks in the end, and of the dropped counter after each of them.
fn watch(looks: impl Iterator<Item = String>) -> (Server, Vec<Option<u64>>) {
    let tenants = [vec!["a".into(), "t0".into()], vec!["b".into()]];
    let (mut servers, mut dropped) = (Servers::new(2, false).with_tenants(&tenants), Vec::new());
    for (number, look) in (0..).zip(looks) {
        servers.scraped(number % 2, Some(&*look).filter(|look| !look.is_empty()));
        if servers.ends_round(number % 2) {
            servers.compare(7, &[3, 4], true);
        }
        dropped.push(servers.dropped());
    }
    (servers.collected(), dropped)
}

fn crlf(look: &str) -> String {
    if look.is_empty() { String::new() } else { look.replace('\n', "\r\n") }
}

fn commented(look: &str) -> String {
    if look.is_empty() { String::new() } else { format!("# a comment\n\n{look}\n# EOF") }
}

fn with_a_stranger(look: &str) -> String {
    if look.is_empty() { String::new() } else { format!("up{{pod=\"a}}b\"}} 1\n{look}\nup NaN 17\n") }
}
