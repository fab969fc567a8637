internal import Glibc

/// What stands where a socket of unix(7) is to be bound. libzmq removes whatever that is.
enum SocketPath {
    /// The error number for which nothing may be bound there: EEXIST of what is no socket, EADDRINUSE
    /// of one that somebody listens on. Nil where there is nothing, or what a dead process left.
    static func obstacle(at path: String) -> Int32? {
        // In the abstract namespace of unix(7) nothing stands on disk, and the system refuses itself.
        guard !path.hasPrefix("@") else { return nil }
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return nil }
        guard status.st_mode & S_IFMT == S_IFSOCK else { return EEXIST }
        return isLive(path) ? EADDRINUSE : nil
    }

    private static func isLive(_ path: String) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        // libzmq says itself that a path is too long.
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            return false
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let descriptor = socket(
            AF_UNIX,
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
                | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, length)
            }
        }
        // Of a dead process's socket the system says ECONNREFUSED; EAGAIN is a full backlog.
        return result == 0 || errno == EAGAIN
    }
}
