// swift-tools-version: 6.2
import PackageDescription

// One place decides how strict the code is.
let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

// Kernels and checksums are optimised in every configuration: a debug test run must not pay for
// unoptimised loops.
let optimised: [CSetting] = [.unsafeFlags(["-O3"])]

// So is Swift that computes: unoptimised, loops over numbers, bytes and simulated clusters take ten
// times as long, and most of a test run.
let computing: [SwiftSetting] = [.unsafeFlags(["-O"], .when(configuration: .debug))]

let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let ordered: Target.Dependency = .product(
    name: "OrderedCollections",
    package: "swift-collections"
)
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let lifecycle: Target.Dependency = .product(
    name: "ServiceLifecycle",
    package: "swift-service-lifecycle"
)
let unixSignals: Target.Dependency = .product(
    name: "UnixSignals",
    package: "swift-service-lifecycle"
)
let arguments: Target.Dependency = .product(
    name: "ArgumentParser",
    package: "swift-argument-parser"
)

func library(
    _ name: String,
    _ dependencies: [Target.Dependency] = [],
    exclude: [String] = [],
    resources: [Resource] = [],
    settings: [SwiftSetting] = []
) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        exclude: exclude,
        resources: resources,
        swiftSettings: house + [.strictMemorySafety()] + settings
    )
}

func tests(
    _ name: String,
    _ dependencies: [Target.Dependency],
    exclude: [String] = [],
    settings: [SwiftSetting] = []
) -> Target {
    .testTarget(
        name: name,
        dependencies: dependencies + ["TestSupport"],
        exclude: exclude,
        swiftSettings: house + settings
    )
}

let package = Package(
    name: "tessera",
    products: [.executable(name: "tessera", targets: ["tessera"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        // C: the only places that see the system libraries.
        .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
        .target(name: "CChecksum", cSettings: optimised),
        .target(
            name: "CKernels",
            cSettings: optimised,
            linkerSettings: [.linkedLibrary("openblas"), .linkedLibrary("m")]
        ),
        .target(name: "CWireMessages", linkerSettings: [.linkedLibrary("protobuf-c")]),
        .target(
            name: "CPNG",
            cSettings: optimised,
            linkerSettings: [.linkedLibrary("png16")]
        ),

        // Pure: values in, values out. The two columns, maths and cluster, never import each other.
        library("Tensors", ["CChecksum"], settings: computing),
        library("Sampling", ["Tensors"], settings: computing),
        library("ImageFilters", ["Tensors", "Sampling"], settings: computing),
        library(
            "Denoising", ["Tensors", "Sampling", "ImageFilters", "Locking"], settings: computing),
        library("Locking"),
        library("NetworkAddresses"),
        library("ClusterCore", ["Locking", deque, ordered], settings: computing),
        library("ClusterSimulation", ["ClusterCore", heap], settings: computing),

        // Adapters: one C library or one concern each.
        library("DurableFiles"),
        library("ComputeBackends", ["Tensors", "CKernels"], settings: computing),
        library("OutputChannels", ["Locking", deque]),
        library(
            "DiffusionModels",
            ["Tensors", "Sampling", "Denoising", "ComputeBackends", "DurableFiles"],
            settings: computing
        ),
        library(
            "ImageOutput", ["Tensors", "Denoising", "DurableFiles", "CPNG"],
            settings: computing),
        library("ImageInput", ["Tensors", "CPNG"], settings: computing),
        library(
            "WireCodec", ["ClusterCore", "Denoising", "Sampling", "Tensors", "CWireMessages"],
            settings: computing),
        library(
            "ZeroMQTransport",
            [
                "ClusterCore", "NetworkAddresses", "CZeroMQ", "CChecksum", "DurableFiles",
                "Locking", deque,
            ],
            exclude: ["THREAT-MODEL.md"]
        ),

        // Runtime: performs what the pure parts decide.
        library(
            "ClusterRuntime",
            [
                "ClusterCore", "WireCodec", "ZeroMQTransport", "Denoising", "Locking",
                "OutputChannels", "Tensors", logging, lifecycle,
            ]
        ),
        library("ClusterLaunch", ["Locking", logging, subprocess, systemPackage]),

        // Drills: decorates the seams above with what can go wrong; nothing else knows of it.
        library(
            "FaultInjection",
            [
                "ClusterCore", "WireCodec", "NetworkAddresses", "Denoising", "Locking", "Sampling",
                "Tensors", deque,
            ]
        ),
        library(
            "DefaultModel",
            exclude: ["README.md", "Recipe", "Pictures"],
            resources: [.copy("Model")]
        ),
        library(
            "TextToImage",
            [
                "Tensors", "Sampling", "Denoising", "ComputeBackends", "DiffusionModels",
                "ImageInput",
                "ImageOutput", "DurableFiles", "Locking",
            ]
        ),

        library(
            "Comparison", ["Tensors", "ImageFilters", "ImageInput", "ImageOutput", "DurableFiles"]),
        library(
            "JobService",
            ["TextToImage", "Denoising", "Sampling", "ClusterCore", "DurableFiles"]
        ),

        .executableTarget(
            name: "tessera",
            dependencies: [
                "TextToImage", "JobService", "Comparison", "ClusterRuntime", "ClusterLaunch",
                "ClusterSimulation",
                "ZeroMQTransport", "ClusterCore",
                "WireCodec", "DefaultModel", "DiffusionModels", "ComputeBackends", "ImageInput",
                "ImageOutput", "DurableFiles", "Denoising", "FaultInjection", "OutputChannels",
                "Sampling",
                "Tensors", arguments, heap, logging, lifecycle, unixSignals,
            ],
            swiftSettings: house
        ),

        // What tests wait with, and where they run.
        .target(
            name: "TestSupport",
            dependencies: ["Locking"],
            path: "Tests/TestSupport",
            swiftSettings: house
        ),
        tests("TestSupportTests", []),
        tests("TensorsTests", ["Tensors"]),
        tests("LockingTests", ["Locking"]),
        tests("NetworkAddressesTests", ["NetworkAddresses"]),
        tests("ImageFiltersTests", ["ImageFilters", "Tensors"]),
        tests("SamplingTests", ["Sampling", "Tensors"], exclude: ["Goldens"]),
        tests("DenoisingTests", ["Denoising", "ImageFilters", "Sampling", "Tensors"]),
        tests("ClusterCoreTests", ["ClusterCore", deque, ordered]),
        tests("ClusterSimulationTests", ["ClusterSimulation", "ClusterCore"]),
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        tests("ComputeBackendsTests", ["ComputeBackends", "Tensors", "CAllocationCounter"]),
        tests(
            "DiffusionModelsTests",
            [
                "DiffusionModels", "DefaultModel", "DurableFiles", "ComputeBackends", "Denoising",
                "Sampling", "Tensors", "CAllocationCounter",
            ]
        ),
        tests("ImageOutputTests", ["ImageOutput", "Denoising", "DurableFiles"]),
        tests("ImageInputTests", ["ImageInput", "Tensors"]),
        tests("WireCodecTests", ["WireCodec", "ClusterCore", "Denoising", "Tensors"]),
        tests(
            "ZeroMQTransportTests",
            ["ZeroMQTransport", "NetworkAddresses", "ClusterCore", "DurableFiles", "Locking"]),
        tests(
            "ClusterRuntimeTests",
            [
                "ClusterRuntime", "ClusterCore", "WireCodec", "ZeroMQTransport", "Denoising",
                "Locking", "Tensors", logging,
            ]
        ),
        tests(
            "TextToImageTests",
            [
                "TextToImage", "DiffusionModels", "ComputeBackends", "ImageInput", "ImageOutput",
                "DurableFiles", "Denoising", "Tensors",
            ]
        ),
        tests("DurableFilesTests", ["DurableFiles"]),
        tests("OutputChannelsTests", ["OutputChannels"]),
        tests("JobServiceTests", ["JobService", "TextToImage", "ClusterCore", "Denoising"]),
        tests(
            "ComparisonTests", ["Comparison", "ImageOutput", "DurableFiles"]),
        tests("ClusterLaunchTests", ["ClusterLaunch", logging]),
        tests(
            "FaultInjectionTests",
            [
                "FaultInjection", "NetworkAddresses", "ClusterRuntime", "ClusterCore", "WireCodec",
                "Denoising", "Locking", "Tensors", logging,
            ]
        ),
        tests(
            "EndToEndTests",
            ["tessera", "DurableFiles", "ImageOutput", arguments, subprocess, systemPackage]),
    ]
)

// What libFuzzer drives. Only Tests/Fuzzing/run asks for it, with a scratch folder of its own, so
// that no other build pays for it.
if Context.environment["TESSERA_FUZZ"] == "1" {
    package.targets.append(
        .executableTarget(
            name: "tessera-fuzz",
            dependencies: [
                "ClusterCore", "ClusterRuntime", "Denoising", "DiffusionModels", "ImageInput",
                "Locking", "Tensors", "TextToImage", "WireCodec", "ZeroMQTransport", logging,
            ],
            path: "Tests/Fuzzing/Targets",
            swiftSettings: house
        ))
}
