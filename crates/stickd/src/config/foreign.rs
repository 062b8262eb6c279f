//! Parameters of HAProxy's listeners and servers that stickd knows, but does not obey.

use super::transport::Role;

/// Parameters of servers that HAProxy, too, gives no meaning in a `peers` section, or that only tune: without a value.
const IGNORED_SERVER_FLAGS: &str = "\
    check no-check backup no-backup disabled enabled stick non-stick check-ssl no-check-ssl \
    check-send-proxy no-check-send-proxy check-via-socks4 agent-check no-agent-check tfo no-tfo \
    allow-0rtt ssl-reuse no-ssl-reuse tls-tickets no-tls-tickets check-reuse-pool no-check-reuse-pool";

/// The same, followed by a value.
const IGNORED_SERVER_VALUES: &str = "\
    inter fastinter downinter rise fall weight maxconn minconn maxqueue slowstart cookie on-error \
    on-marked-down on-marked-up observe error-limit agent-addr agent-port agent-inter agent-send addr \
    port check-alpn check-proto check-sni check-pool-conn-name resolvers resolve-prefer resolve-net \
    resolve-opts init-addr init-state track redir id pool-max-conn pool-low-conn pool-purge-delay \
    max-reuse ws log-proto log-bufsize hash-key guid tcp-ut cc pool-conn-name idle-ping healthcheck";

/// Parameters of listeners that only tune or name: without a value.
const IGNORED_BIND_FLAGS: &str = "tfo defer-accept allow-0rtt tls-tickets no-tls-tickets";

/// The same, followed by a value.
const IGNORED_BIND_VALUES: &str =
    "name id backlog maxconn nice thread process guid-prefix mss tcp-ut cc idle-ping severity-output";

/// Parameters that would change what is on the wire or who may connect, and that stickd cannot honour.
const REFUSED: &str = "\
    accept-proxy accept-netscaler-cip send-proxy send-proxy-v2 send-proxy-v2-ssl send-proxy-v2-ssl-cn \
    proxy-v2-options set-proxy-v2-tlv-fmt source usesrc interface namespace transparent socks4 crl-file \
    ciphers ciphersuites curves ecdhe sigalgs client-sigalgs crt-list ca-verify-file ca-sign-file \
    ca-sign-pass ca-ignore-err crt-ignore-err generate-certificates strict-sni npn mode user \
    group uid gid expose-fd level proto force-sslv3 force-tlsv10 force-tlsv11 ech ktls renegotiate \
    no-renegotiate no-ca-names shards quic-force-retry default-crt";

/// Whether a parameter is accepted without effect, and then whether a value follows.
pub(super) fn ignored(text: &str, role: Role) -> Option<bool> {
    let (flags, values) = match role {
        Role::Bind => (IGNORED_BIND_FLAGS, IGNORED_BIND_VALUES),
        Role::Server => (IGNORED_SERVER_FLAGS, IGNORED_SERVER_VALUES),
    };
    if lists(values, text) {
        return Some(true);
    }
    lists(flags, text).then_some(false)
}

/// Whether a parameter is refused, because without it the line would not do what it says.
pub(super) fn is_refused(text: &str) -> bool {
    lists(REFUSED, text)
}

fn lists(list: &str, word: &str) -> bool {
    list.split(' ').any(|listed| listed == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_by_role() {
        assert_eq!(ignored("weight", Role::Server), Some(true));
        assert_eq!(ignored("weight", Role::Bind), None);
        assert_eq!(ignored("check", Role::Server), Some(false));
        assert_eq!(ignored("backlog", Role::Bind), Some(true));
        assert!(is_refused("send-proxy") && is_refused("default-crt"));
        assert!(!is_refused("ssl") && !is_refused(""));
    }

    #[test]
    fn no_parameter_is_both_ignored_and_refused() {
        for word in REFUSED.split(' ') {
            assert!(!word.is_empty());
            assert_eq!((ignored(word, Role::Bind), ignored(word, Role::Server)), (None, None), "{word}");
        }
    }
}
