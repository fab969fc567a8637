internal import CWireMessages

/// Facts about the protobuf-c that is loaded.
package enum ProtobufLibrary {
    /// Such as `1.4.1`.
    package static var version: String { unsafe String(cString: protobuf_c_version()) }
}
