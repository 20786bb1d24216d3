import Curl
import Foundation
import Testing
import VDriveModel
import VDriveStore
import VDriveTestKit

/// The stores that must all behave alike.
enum Subject: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case memory, file, apache, apacheDigestTLS, nginx, rclone

    static let servers: [Subject] = [.apache, .apacheDigestTLS, .nginx, .rclone]

    var testDescription: String { rawValue }

    var serverKind: RealServer.Kind? {
        switch self {
        case .memory, .file: nil
        case .apache: .apache
        case .apacheDigestTLS: .apacheDigestTLS
        case .nginx: .nginx
        case .rclone: .rclone
        }
    }

    /// Runs a test on a fresh, empty store of this kind, whose top folder does not exist yet.
    func withStore(_ body: (any ObjectStore) async throws -> Void) async throws {
        switch self {
        case .memory: try await body(MemoryStore())
        case .file:
            let folder = try makeScratchFolder("file")
            defer { try? FileManager.default.removeItem(at: folder) }
            try await body(FileStore(path: folder.path + "/with blank/top"))
        case .apache, .apacheDigestTLS, .nginx, .rclone:
            try await withServer { server, path in try await body(try server.store(path)) }
        }
    }

    /// Runs a test with the shared server of this kind and the path of a folder that is the test's own.
    func withServer(_ body: (RealServer, String) async throws -> Void) async throws {
        guard let serverKind else { preconditionFailure("\(self) is no server") }
        let server = try await ServerFarm.shared.server(serverKind)
        try await body(server, "t-\(UInt32.random(in: .min ... .max))/a%20disk")
    }
}

extension RealServer {
    /// The bare driver: one attempt, no decorators.
    func store(
        _ path: String,
        port: UInt16? = nil,
        credentials: StoreCredentials? = nil
    ) throws -> WebDAVStore {
        try WebDAVStore(url: url(path, port: port), credentials: credentials ?? self.credentials, loop: TransferLoop())
    }
}

/// Bytes that no server compresses or guesses, the same for the same seed.
func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SplitMix(seed: seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) } }
    bytes.removeLast(bytes.count - count)
    return bytes
}

struct SplitMix: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

/// The error that a call throws, or nil.
func storeError<Value>(_ call: () async throws -> Value) async -> StoreError? {
    do {
        _ = try await call()
        return nil
    } catch {
        return error as? StoreError
    }
}
