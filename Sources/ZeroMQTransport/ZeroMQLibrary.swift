internal import CZeroMQ

/// Facts about the libzmq that is loaded.
package enum ZeroMQLibrary {
    /// Such as `4.3.4` (zmq_version(3)).
    package static var version: String {
        var (major, minor, patch) = (Int32(0), Int32(0), Int32(0))
        unsafe zmq_version(&major, &minor, &patch)
        return "\(major).\(minor).\(patch)"
    }

    /// Whether it can encrypt (zmq_has(3)).
    package static var hasCurve: Bool { unsafe zmq_has("curve") == 1 }
}
