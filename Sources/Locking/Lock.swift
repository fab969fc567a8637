internal import Glibc

/// A value that one thread at a time may touch, used as `Synchronization.Mutex` is.
///
/// Built on pthread_mutex(3p), which ThreadSanitizer watches: the standard library's `Mutex` calls
/// futex(2) itself, so that every access it protects looks like a race, and a real one would
/// drown among those. It also means that locks taken in two orders are found.
@safe
package final class Lock<Value: Sendable>: @unchecked Sendable {
    // Sendable: `value` is touched between lock and unlock alone.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    package init(_ value: Value) {
        self.value = value
        unsafe mutex = .allocate(capacity: 1)
        unsafe mutex.initialize(to: pthread_mutex_t())
        // A default mutex cannot fail on Linux, here or below.
        unsafe pthread_mutex_init(mutex, nil)
    }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deallocate()
    }

    /// Calls `body` with the value while no other thread has it. Not to be nested.
    package func withLock<Result, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
