// swift-tools-version: 6.1
import PackageDescription

// The house has floors. A room (target) may import rooms of lower floors only: the loop at the end refuses anything
// else before a line is compiled. Floors are listed lowest first; the five folders under Sources/ group them for
// people.

struct Room {
    var name: String
    var folder: String
    var uses: [String] = []
    var packages: [Target.Dependency] = []
    var resources: [Resource] = []
    var kind: Kind = .library

    enum Kind {
        case system(pkgConfig: String, apt: String)
        case c
        case library
        case program
    }
}

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]
let logging: [Target.Dependency] = [.product(name: "Logging", package: "swift-log")]
let lifecycle: [Target.Dependency] = [
    .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
    .product(name: "UnixSignals", package: "swift-service-lifecycle"),
]
let arguments: [Target.Dependency] = [.product(name: "ArgumentParser", package: "swift-argument-parser")]
let toml: [Target.Dependency] = [.product(name: "TOMLKit", package: "TOMLKit")]
let collections: [Target.Dependency] = [
    .product(name: "DequeModule", package: "swift-collections"),
    .product(name: "HeapModule", package: "swift-collections"),
    .product(name: "OrderedCollections", package: "swift-collections"),
]

let histogram: [Target.Dependency] = [.product(name: "Histogram", package: "hdrhistogram-swift")]
let hummingbird: [Target.Dependency] = [.product(name: "Hummingbird", package: "hummingbird")]

let floors: [[Room]] = [
    // 0: C
    [
        Room(name: "CFuse", folder: "Platform", kind: .system(pkgConfig: "fuse3", apt: "libfuse3-dev")),
        Room(name: "CLMDB", folder: "Platform", kind: .system(pkgConfig: "lmdb", apt: "liblmdb-dev")),
        Room(name: "CZstd", folder: "Platform", kind: .system(pkgConfig: "libzstd", apt: "libzstd-dev")),
        Room(name: "CCurl", folder: "Platform", kind: .system(pkgConfig: "libcurl", apt: "libcurl4-openssl-dev")),
        Room(name: "CXXHash", folder: "Platform", kind: .system(pkgConfig: "libxxhash", apt: "libxxhash-dev")),
        Room(name: "CBlkid", folder: "Platform", kind: .system(pkgConfig: "blkid", apt: "libblkid-dev")),
        Room(name: "CLinux", folder: "Platform", kind: .c),
    ],
    // 1: thin Swift over C
    [
        Room(name: "LMDB", folder: "Platform", uses: ["CLMDB"]),
        Room(name: "Codec", folder: "Platform", uses: ["CZstd", "CXXHash"]),
        Room(name: "Curl", folder: "Platform", uses: ["CCurl"], packages: collections),
        Room(name: "Linux", folder: "Platform", uses: ["CLinux", "CBlkid"]),
    ],
    // 2a: vocabulary and measuring
    [
        Room(name: "VDriveModel", folder: "Core"),
        Room(name: "VDriveMeasure", folder: "Core", packages: histogram),
    ],
    // 2: formats (bytes) and stores (I/O)
    [
        Room(name: "VDriveFormat", folder: "Core", uses: ["VDriveModel", "Codec"]),
        Room(
            name: "VDriveStore",
            folder: "Core",
            uses: ["VDriveModel", "VDriveMeasure", "Curl", "Linux"],
            packages: logging
        ),
    ],
    [Room(name: "VDriveMetadata", folder: "Core", uses: ["VDriveModel", "VDriveFormat", "Codec", "LMDB"])],
    // 3: the ground that FUSE threads and actors share
    [Room(name: "VDriveDataPlane", folder: "Core", uses: ["VDriveModel", "VDriveMeasure", "Linux"])],
    // 4: engine and host; the kernel's side (VDriveFuse) cannot name an actor
    [
        Room(
            name: "VDriveEngine",
            folder: "Core",
            uses: [
                "VDriveModel", "VDriveMeasure", "VDriveFormat", "VDriveStore", "VDriveMetadata", "VDriveDataPlane",
                "Codec", "Linux",
            ],
            packages: logging + collections
        ),
        Room(
            name: "VDriveFuse",
            folder: "Mount",
            uses: ["CFuse", "VDriveModel", "VDriveMeasure", "VDriveDataPlane", "Linux"]
        ),
        Room(name: "VDriveHost", folder: "Mount", uses: ["Linux"]),
    ],
    // 5: the control plane; clients see the protocol and nothing else of ours
    [Room(name: "VDriveProtocol", folder: "Control")],
    [
        Room(name: "VDriveClient", folder: "Control", uses: ["VDriveProtocol"]),
        Room(
            name: "VDriveControl",
            folder: "Control",
            uses: [
                "VDriveProtocol", "VDriveModel", "VDriveMeasure", "VDriveFormat", "VDriveStore", "VDriveEngine",
                "VDriveFuse", "VDriveHost", "Linux",
            ],
            packages: nio + logging + toml + lifecycle + collections,
            // A link to Protocol/openrpc.json: the daemon is one file, and carries the one text there is.
            resources: [.embedInCode("openrpc.json")]
        ),
    ],
    // 6: programs
    [
        Room(
            name: "vdrived",
            folder: "Programs",
            uses: ["VDriveControl", "VDriveProtocol", "VDriveHost", "Linux"],
            packages: arguments + logging + lifecycle + nio,
            kind: .program
        ),
        Room(
            name: "vdrivectl",
            folder: "Programs",
            uses: ["VDriveClient", "VDriveProtocol"],
            packages: arguments,
            kind: .program
        ),
        Room(
            name: "vdrive-exporter",
            folder: "Programs",
            uses: ["VDriveClient", "VDriveProtocol"],
            packages: arguments + logging + lifecycle + nio + hummingbird,
            kind: .program
        ),
        // For benchmarks, not for users: the engine's own eviction policies on a trace.
        Room(
            name: "vdrive-cachesim",
            folder: "Programs",
            uses: ["VDriveModel", "VDriveDataPlane", "VDriveEngine", "VDriveProtocol", "Linux"],
            packages: arguments + collections,
            kind: .program
        ),
    ],
]

struct Trial {
    var name: String
    var uses: [String]
    var packages: [Target.Dependency] = []
    /// Files in its folder that are not compiled.
    var scripts: [String] = []
}

let trials: [Trial] = [
    Trial(name: "ModelTests", uses: ["VDriveModel"]),
    Trial(name: "MeasureTests", uses: ["VDriveMeasure"], packages: histogram),
    Trial(name: "FormatTests", uses: ["VDriveFormat", "VDriveModel", "Codec"]),
    Trial(name: "LMDBTests", uses: ["LMDB", "VDriveMetadata", "VDriveModel", "VDriveFormat"]),
    Trial(name: "LinuxTests", uses: ["Linux", "VDriveHost"]),
    Trial(name: "DataPlaneTests", uses: ["VDriveDataPlane", "VDriveModel", "Linux"]),
    Trial(
        name: "StoreConformanceTests",
        uses: ["VDriveStore", "VDriveMeasure", "VDriveModel", "Curl", "VDriveTestKit"],
        packages: logging
    ),
    Trial(
        name: "EngineTests",
        uses: [
            "VDriveEngine", "VDriveStore", "VDriveMeasure", "VDriveModel", "VDriveDataPlane", "VDriveFormat",
            "VDriveMetadata", "Linux", "VDriveTestKit",
        ]
    ),
    Trial(name: "CacheSimulatorTests", uses: ["vdrive-cachesim", "VDriveEngine"], packages: arguments),
    Trial(
        name: "ControlTests",
        uses: [
            "VDriveControl", "VDriveProtocol", "VDriveClient", "VDriveModel", "VDriveStore", "Linux", "VDriveTestKit",
            "vdrivectl",
        ],
        packages: nio + logging + lifecycle + arguments,
        scripts: ["check-openrpc.py", "check-openrpc-models.py"]
    ),
    Trial(
        name: "IntegrationTests",
        uses: ["VDriveTestKit", "VDriveProtocol", "VDriveClient", "VDriveStore", "VDriveEngine", "Linux"]
    ),
    Trial(name: "ExporterTests", uses: ["vdrive-exporter", "VDriveProtocol", "VDriveTestKit"]),
    Trial(name: "TidyTests", uses: []),
]

let swift: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
]

var built: Set<String> = []
var targets: [Target] = []
for (floor, rooms) in floors.enumerated() {
    for room in rooms {
        for used in room.uses {
            precondition(built.contains(used), "\(room.name) on floor \(floor) may not import \(used)")
        }
        let path = "Sources/\(room.folder)/\(room.name)"
        let dependencies = room.uses.map { Target.Dependency.target(name: $0) } + room.packages
        switch room.kind {
        case .system(let pkgConfig, let apt):
            targets.append(.systemLibrary(name: room.name, path: path, pkgConfig: pkgConfig, providers: [.apt([apt])]))
        case .c:
            targets.append(.target(name: room.name, path: path))
        case .library:
            targets.append(
                .target(
                    name: room.name,
                    dependencies: dependencies,
                    path: path,
                    resources: room.resources,
                    swiftSettings: swift
                )
            )
        case .program:
            targets.append(
                .executableTarget(name: room.name, dependencies: dependencies, path: path, swiftSettings: swift)
            )
        }
    }
    built.formUnion(rooms.map(\.name))
}

targets.append(
    .target(
        name: "VDriveTestKit",
        dependencies: ["VDriveModel", "VDriveStore", "VDriveMetadata", "VDriveProtocol", "VDriveClient", "Linux"],
        path: "Tests/Support",
        swiftSettings: swift
    )
)
for trial in trials {
    targets.append(
        .testTarget(
            name: trial.name,
            dependencies: trial.uses.map { .target(name: $0) } + trial.packages,
            path: "Tests/\(trial.name)",
            exclude: trial.scripts,
            swiftSettings: swift
        )
    )
}

let package = Package(
    name: "vdrive",
    products: [
        .executable(name: "vdrived", targets: ["vdrived"]),
        .executable(name: "vdrivectl", targets: ["vdrivectl"]),
        .executable(name: "vdrive-exporter", targets: ["vdrive-exporter"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/LebJe/TOMLKit.git", from: "0.6.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", from: "0.2.0"),
        // Without its traits: neither configuration files nor all of Foundation.
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1", traits: []),
    ],
    targets: targets
)
