import Glibc

// The C functions that libFuzzer calls. One program holds all targets, so that it is linked once;
// TESSERA_FUZZ_TARGET names the one that runs.

/// What libFuzzer drives: it takes any bytes and must neither trap nor break its promises.
protocol FuzzTarget: SendableMetatype {
    static func run(_ input: [UInt8])

    /// Inputs to start from, by file name.
    static var seeds: [String: [UInt8]] { get }

    /// Whether the input is a list of records, which may also be mutated as such.
    static var isRecordStream: Bool { get }
}

extension FuzzTarget {
    static var isRecordStream: Bool { false }
}

private let targets: [String: any FuzzTarget.Type] = [
    "wire": WireTarget.self,
    "worker": WorkerTarget.self,
    "coordinator": CoordinatorTarget.self,
    "json": JSONTarget.self,
    "safetensors": SafeTensorsTarget.self,
    "configuration": ConfigurationTarget.self,
    "state": StateTarget.self,
    "keys": KeysTarget.self,
    "picture": PictureTarget.self,
]

private let target: any FuzzTarget.Type = {
    guard let name = environment("TESSERA_FUZZ_TARGET"), let target = targets[name] else {
        complain("TESSERA_FUZZ_TARGET is one of: \(targets.keys.sorted().joined(separator: " "))")
        exit(64)
    }
    return target
}()

private func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

/// Ends the run as a finding: libFuzzer keeps the input.
func broken(_ promise: String) -> Never {
    complain("BROKEN PROMISE: \(promise)")
    abort()
}

private func complain(_ text: String) {
    _ = (text + "\n").withCString { write(STDERR_FILENO, $0, strlen($0)) }
}

@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ count: UnsafeMutableRawPointer,
    _ arguments: UnsafeMutableRawPointer
) -> CInt {
    if let folder = environment("TESSERA_FUZZ_WRITE_SEEDS") {
        for (name, target) in targets { writeSeeds(of: target, to: "\(folder)/\(name)") }
        exit(0)
    }
    _ = target
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    target.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
    return 0
}

@_silgen_name("LLVMFuzzerMutate")
private func mutateBytes(_ bytes: UnsafeMutablePointer<UInt8>, _ size: Int, _ maximum: Int) -> Int

/// Half of the mutations are libFuzzer's own, half move whole records about: a duplicated or
/// overtaken message is a likelier fault than a flipped bit.
@_cdecl("LLVMFuzzerCustomMutator")
public func mutate(
    _ bytes: UnsafeMutablePointer<UInt8>,
    _ size: Int,
    _ maximum: Int,
    _ seed: CUnsignedInt
) -> Int {
    var random = SplitMix64(state: UInt64(seed))
    guard target.isRecordStream, Bool.random(using: &random) else {
        return mutateBytes(bytes, size, maximum)
    }
    let input = Array(UnsafeBufferPointer(start: bytes, count: size))
    let output = RecordStream.mutated(input, using: &random).prefix(maximum)
    for (index, byte) in output.enumerated() { bytes[index] = byte }
    return output.count
}

private func writeSeeds(of target: any FuzzTarget.Type, to folder: String) {
    mkdir(folder, 0o755)
    for (name, bytes) in target.seeds {
        guard let file = fopen("\(folder)/\(name)", "wb") else {
            complain("\(folder)/\(name) cannot be written")
            exit(73)
        }
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }
}
