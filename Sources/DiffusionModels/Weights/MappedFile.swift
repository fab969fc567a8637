internal import ComputeBackends
internal import Glibc

/// A whole file mapped read-only into memory; unmapped with the last reference.
///
/// `@unchecked Sendable` is sound: the mapping is read-only, its address and length never change
/// after `init`, and nothing outside this type unmaps it. A file that another program shortens
/// while it is mapped kills the process (SIGBUS), as with every mapped file; model folders are
/// replaced by renaming, never rewritten in place.
@safe final class MappedFile: @unchecked Sendable {
    let path: String
    private let address: UnsafeRawPointer?
    let count: Int

    /// Throws ``WeightsError/missing(path:advice:)`` or ``WeightsError/unreadable(path:reason:)``.
    init(path: String, advice: String) throws(WeightsError) {
        self.path = path
        // A pipe would be waited for until somebody writes to it.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else {
            switch errno {
            case ENOENT: throw .absent(path, advice: advice)
            // As a socket is.
            case ENXIO: throw .unreadable(path: path, reason: Self.irregular)
            default: throw .unreadable(path: path, reason: systemReason())
            }
        }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw .unreadable(path: path, reason: systemReason())
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .unreadable(path: path, reason: Self.irregular)
        }
        count = Int(status.st_size)
        guard count > 0 else {
            unsafe address = nil
            return
        }
        do throws(MemoryShortage) {
            try MemoryLimit.check(count, for: "the file", leaving: 0)
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
        let mapping = unsafe mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard let mapping = unsafe mapping, unsafe mapping != MAP_FAILED else {
            throw .unreadable(path: path, reason: systemReason())
        }
        unsafe address = UnsafeRawPointer(mapping)
        let start = unsafe UnsafeRawBufferPointer(start: mapping, count: count)
        guard unsafe !start.starts(with: Self.pointerMark) else {
            throw .pointer(path: path)
        }
    }

    private static let irregular = "it is not a regular file"

    /// What stands in a repository for a file that Git LFS keeps elsewhere begins so
    /// (git-lfs, docs/spec.md).
    private static let pointerMark = Array("version https://git-lfs.github.com/spec/".utf8)

    deinit {
        if let address = unsafe address {
            unsafe munmap(UnsafeMutableRawPointer(mutating: address), count)
        }
    }

    /// Lends the bytes of `range`, which must lie inside the file. A large range is asked for ahead
    /// and given back to the system afterwards, so that weights that were copied out do not count
    /// as this process's memory.
    func withBytes<Result>(
        in range: Range<Int>,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        advise(range, MADV_WILLNEED)
        defer { advise(range, MADV_DONTNEED) }
        return unsafe body(bytes(in: range))
    }

    /// The bytes of `range`, which must lie inside the file; valid as long as this file is mapped.
    func bytes(in range: Range<Int>) -> UnsafeRawBufferPointer {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "outside the file")
        let whole = unsafe UnsafeRawBufferPointer(start: address, count: count)
        return unsafe UnsafeRawBufferPointer(rebasing: whole[range])
    }

    /// Tells the system about the whole pages inside a range of at least a megabyte. The pages'
    /// content stays the file's whatever it makes of that.
    private func advise(_ range: Range<Int>, _ advice: Int32) {
        guard range.count >= 1 << 20, let address = unsafe address else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = (range.lowerBound + page - 1) / page * page
        let end = range.upperBound / page * page
        guard start < end else { return }
        let first = unsafe UnsafeMutableRawPointer(mutating: address + start)
        unsafe madvise(first, end - start, advice)
    }
}

/// The text of the current `errno`.
func systemReason() -> String {
    unsafe String(cString: strerror(errno))
}
