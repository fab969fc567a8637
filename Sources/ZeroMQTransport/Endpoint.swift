package import ClusterCore

/// Judges endpoints before a socket sees them, and before anyone loads a model for them.
package enum Endpoint {
    /// Throws unless the endpoint is `tcp://host:port` (port `*` or 0 is a free one where
    /// binding), or `ipc://path`; and when it leaves this machine and may not: with CURVE keys,
    /// or where plaintext was asked for, it may.
    package static func check(
        _ endpoint: String,
        mayLeaveMachine: Bool,
        isBinding: Bool
    ) throws(TransportError) {
        if endpoint.hasPrefix("ipc://"), endpoint.utf8.count > 6 { return }
        guard endpoint.hasPrefix("tcp://") else {
            throw .invalidEndpoint(endpoint, reason: "it does not begin with tcp:// or ipc://")
        }
        let address = endpoint.dropFirst(6)
        guard let colon = address.lastIndex(of: ":") else {
            throw .invalidEndpoint(endpoint, reason: "it has no port")
        }
        let host = String(address[..<colon])
        let port = address[address.index(after: colon)...]
        guard !host.isEmpty else { throw .invalidEndpoint(endpoint, reason: "it has no host") }
        let isFree = (port == "*" || port == "0") && isBinding
        guard isFree || (UInt16(port) ?? 0) > 0 else {
            throw .invalidEndpoint(endpoint, reason: "'\(port)' is no port")
        }
        guard mayLeaveMachine || isLoopback(host) else { throw .plaintextRefused(endpoint) }
    }

    /// Whether what is sent to a well-formed endpoint stays on this machine.
    package static func staysOnMachine(_ endpoint: String) -> Bool {
        (try? check(endpoint, mayLeaveMachine: false, isBinding: true)) != nil
    }

    /// Whether what is sent there stays on this machine: 127.0.0.0/8, ::1, localhost.
    static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host == "[::1]" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
