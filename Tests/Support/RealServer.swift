package import Foundation
package import VDriveStore

/// A real WebDAV server on 127.0.0.1, for as long as the object lives, and never longer than the test process.
package final class RealServer: Sendable {
    package enum Kind: String, CaseIterable, Sendable {
        case apache
        /// Apache with Digest only, over https.
        case apacheDigestTLS = "apache-digest-tls"
        case nginx
        case rclone = "rclone-dav"

        fileprivate var arguments: (name: String, options: [String]) {
            switch self {
            case .apache: ("apache", [])
            case .apacheDigestTLS: ("apache", ["digest", "tls"])
            case .nginx: ("nginx", [])
            case .rclone: ("rclone-dav", [])
            }
        }

        package var usesTLS: Bool { self == .apacheDigestTLS }
    }

    package let kind: Kind
    package let port: UInt16
    /// What the server serves; tests may look and change things behind its back.
    package let files: URL
    package let credentials: StoreCredentials
    private let process: SupervisedProcess

    private init(_ kind: Kind, port: UInt16, scratch: URL) throws {
        self.kind = kind
        self.port = port
        let (name, options) = kind.arguments
        let data = scratch.appendingPathComponent("server")
        files = data.appendingPathComponent("files")
        credentials = StoreCredentials(
            username: "user",
            password: "password",
            caFile: kind.usesTLS ? data.appendingPathComponent("cert.pem").path : nil
        )
        // Servers drop their rights and must be able to come here.
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: scratch.path)
        let tool = try SharedTools.path("servers/servers")
        let command = ["/bin/bash", tool, "run", name, data.path, "\(port)"]
        process = try SupervisedProcess(command + options, scratch: scratch)
    }

    /// Starts a server and waits until it answers.
    package static func start(_ kind: Kind) async throws -> RealServer {
        let server = try RealServer(kind, port: FreePort.next(), scratch: makeScratchFolder(kind.rawValue))
        try await server.process.waitForPort(server.port)
        return server
    }

    /// Ends the server and removes its files.
    package func stop() { process.stop() }

    /// The URL of a folder on the server.
    ///
    /// - Parameter path: without a slash at its start.
    /// - Parameter port: a proxy's port instead of the server's own.
    package func url(_ path: String, port: UInt16? = nil) throws -> StoreURL {
        try StoreURL("\(kind.usesTLS ? "webdavs" : "webdav")://127.0.0.1:\(port ?? self.port)/\(path)")
    }
}

/// Servers that many tests share, each started once in a process and stopped with it. Every test takes a folder of its
/// own on them.
package actor ServerFarm {
    package static let shared = ServerFarm()

    private var servers: [RealServer.Kind: Task<RealServer, any Error>] = [:]

    package func server(_ kind: RealServer.Kind) async throws -> RealServer {
        if let server = servers[kind] { return try await server.value }
        let server = Task { try await RealServer.start(kind) }
        servers[kind] = server
        return try await server.value
    }
}
